-- What is deleted or old is forgotten: texts of a deleted file at once, rows by and by (src/actions/apply_retention.rs).
ALTER TABLE files ADD COLUMN erased_at TIMESTAMPTZ;
COMMENT ON COLUMN files.erased_at IS 'When title, description and error were erased; NULL while they are there';
COMMENT ON COLUMN files.size IS 'Bytes of the object; NULL until completed or when the worker did not say. Kept when the file is deleted';
COMMENT ON COLUMN files.sha256 IS 'SHA-256 of the object, lower-case hexadecimal. Kept when the file is deleted';
COMMENT ON TABLE transitions IS 'Every change of a file''s status or attempt; lines are only added, erased with their file, or forgotten';

-- Files that were deleted before there was an erasure. Empty afterwards.
CREATE INDEX files_to_erase ON files (id) WHERE status = 'deleted' AND erased_at IS NULL;
-- Rows to forget: no index here has an entry for a new file.
CREATE INDEX files_deleted ON files (updated_at, id) WHERE status = 'deleted';
CREATE INDEX dead_letters_settled ON dead_letters (settled_at, id) WHERE state <> 'open';
