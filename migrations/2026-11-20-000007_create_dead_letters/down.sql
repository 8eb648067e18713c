COMMENT ON COLUMN outbox.file_id IS 'Whose message it is';
DROP TABLE dead_letters;
