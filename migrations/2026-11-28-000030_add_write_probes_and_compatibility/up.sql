-- What health checks write to see whether the database takes writes. Always rolled back: there is never a row. Not
-- compressed, so that each probe needs a page and finds a full disk.
CREATE TABLE write_probes (
    padding TEXT NOT NULL
);
ALTER TABLE write_probes ALTER COLUMN padding SET STORAGE PLAIN;
ALTER TABLE write_probes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);

COMMENT ON TABLE write_probes IS 'Written and rolled back by health checks; has no rows';
COMMENT ON COLUMN write_probes.padding IS 'Fills most of a page';

-- An executable that finds a migration it doesn't know is not ready, unless that migration says here that the executable
-- may go on. A migration that older executables can work with, as in a rolling upgrade, inserts its own line.
CREATE TABLE schema_compatibility (
    version    TEXT CONSTRAINT schema_compatibility_pkey PRIMARY KEY,
    works_with TEXT NOT NULL
);

COMMENT ON TABLE schema_compatibility IS 'Migrations with which executables that don''t know them can work';
COMMENT ON COLUMN schema_compatibility.version IS 'A migration, as in __diesel_schema_migrations';
COMMENT ON COLUMN schema_compatibility.works_with IS 'The newest migration that an executable must know, at least';

INSERT INTO schema_compatibility (version, works_with) VALUES ('20261128000030', '20261126000010');
