ALTER TABLE object_removals DROP COLUMN created_at;
