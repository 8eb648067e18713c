DROP TABLE object_removals;
