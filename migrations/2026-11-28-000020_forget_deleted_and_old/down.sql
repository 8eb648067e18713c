DROP INDEX dead_letters_settled;
DROP INDEX files_deleted;
DROP INDEX files_to_erase;

COMMENT ON TABLE transitions IS 'Append-only: every change of a file''s status or attempt';
COMMENT ON COLUMN files.sha256 IS 'SHA-256 of the object, lower-case hexadecimal';
COMMENT ON COLUMN files.size IS 'Bytes of the object; NULL until completed or when the worker did not say';
ALTER TABLE files DROP COLUMN erased_at;
