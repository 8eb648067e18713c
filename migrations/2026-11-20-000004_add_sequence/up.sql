-- Facts about a file come in an order that their readers can check, and a message whose topic is away steps aside.
ALTER TABLE files ADD COLUMN sequence BIGINT NOT NULL DEFAULT 1;
ALTER TABLE files ADD CONSTRAINT files_sequence_positive CHECK (sequence >= 1);
COMMENT ON COLUMN files.sequence IS 'Number of the newest fact about it on file.events; each change adds one';

ALTER TABLE outbox ADD COLUMN retry_at TIMESTAMPTZ;
COMMENT ON COLUMN outbox.retry_at IS 'Not taken before: its topic can''t be written at present; those behind it flow on';
