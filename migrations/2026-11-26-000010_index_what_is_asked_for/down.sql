DROP TRIGGER files_forgotten_on_delete ON files;
DROP FUNCTION forget_history;
DELETE FROM transitions AS t WHERE NOT EXISTS (SELECT FROM files WHERE id = t.file_id);
ALTER TABLE transitions
    ADD CONSTRAINT transitions_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE;
ALTER TABLE transitions DROP CONSTRAINT transitions_pkey;
ALTER TABLE transitions ADD CONSTRAINT transitions_pkey PRIMARY KEY (id);
CREATE INDEX transitions_file_id ON transitions (file_id, id);

COMMENT ON COLUMN outbox.retry_at IS 'Not taken before: its topic can''t be written at present; those behind it flow on';
DROP INDEX outbox_requests;
CREATE INDEX outbox_file_id ON outbox (file_id);
CREATE INDEX outbox_ready ON outbox (id) WHERE parked_at IS NULL;

CREATE INDEX files_created_at ON files (created_at DESC, id DESC);
