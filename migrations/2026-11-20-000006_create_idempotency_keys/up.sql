-- What a client called its request, so that asking again gives the same file. Kept for a day.
CREATE TABLE idempotency_keys (
    id         VARCHAR(255) CONSTRAINT idempotency_keys_pkey PRIMARY KEY,
    -- Deferred: the key is taken before the file is stored, in one transaction.
    file_id    BIGINT NOT NULL CONSTRAINT idempotency_keys_file
               REFERENCES files (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    created_at TIMESTAMPTZ NOT NULL
);

COMMENT ON TABLE idempotency_keys IS 'Header Idempotency-Key of POST /files: which file a repeated request means';
COMMENT ON COLUMN idempotency_keys.id IS 'The header''s value';
COMMENT ON COLUMN idempotency_keys.file_id IS 'The file of the first request with it';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When it was taken; a day later it is free again';

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_file_id ON idempotency_keys (file_id);
