DROP TABLE schema_compatibility;
DROP TABLE write_probes;
