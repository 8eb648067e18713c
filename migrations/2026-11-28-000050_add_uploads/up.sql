-- Files that people upload: rows of `files` beside those that are generated. Columns that only uploads fill are NULL in
-- all other rows, where a NULL costs a bit.
ALTER TABLE files DROP CONSTRAINT files_status_known;
ALTER TABLE files ADD CONSTRAINT files_status_known
    CHECK (status IN ('pending', 'uploading', 'processing', 'completed', 'failed', 'cancelled', 'deleted'));

ALTER TABLE files ALTER COLUMN format DROP NOT NULL;
COMMENT ON COLUMN files.format IS 'Kind of a generated file, also its extension; NULL for uploads';
COMMENT ON COLUMN files.content_type IS 'Media type that the download is answered with; for uploads by their first bytes';

ALTER TABLE files
    ADD COLUMN origin VARCHAR(16),
    ADD COLUMN file_name TEXT,
    ADD COLUMN file_type VARCHAR(16),
    ADD COLUMN claimed_type VARCHAR(255),
    ADD COLUMN uploaded_by VARCHAR(255),
    ADD COLUMN uploaded_by_name VARCHAR(255),
    ADD COLUMN folder VARCHAR(255),
    ADD COLUMN tags TEXT[],
    ADD COLUMN related_post_id VARCHAR(255),
    ADD COLUMN related_category_id VARCHAR(255),
    ADD COLUMN metadata JSONB,
    ADD COLUMN view_count BIGINT,
    ADD COLUMN download_count BIGINT,
    ADD COLUMN expires_at TIMESTAMPTZ,
    ADD COLUMN trashed_at TIMESTAMPTZ,
    ADD CONSTRAINT files_origin_known CHECK (origin = 'uploaded'),
    ADD CONSTRAINT files_file_type_known
        CHECK (file_type IN ('image', 'video', 'audio', 'document', 'archive', 'text', 'other')),
    ADD CONSTRAINT files_view_count_not_negative CHECK (view_count >= 0),
    ADD CONSTRAINT files_download_count_not_negative CHECK (download_count >= 0);

COMMENT ON COLUMN files.origin IS 'uploaded, or NULL for a generated file';
COMMENT ON COLUMN files.file_name IS 'Name that its owner gave it, cleaned (src/domain/files/file_name.rs)';
COMMENT ON COLUMN files.file_type IS 'Group of its media type';
COMMENT ON COLUMN files.claimed_type IS 'Media type that the client named';
COMMENT ON COLUMN files.uploaded_by IS 'Id of the owner, as the client names it';
COMMENT ON COLUMN files.uploaded_by_name IS 'Name of the owner for people';
COMMENT ON COLUMN files.folder IS 'Path of folders, separated by slashes';
COMMENT ON COLUMN files.tags IS 'Tags, each once, in the order in which they were given';
COMMENT ON COLUMN files.related_post_id IS 'Post of another system that it belongs to';
COMMENT ON COLUMN files.related_category_id IS 'Category of another system that it belongs to';
COMMENT ON COLUMN files.metadata IS 'Object with facts about the content, such as width and height';
COMMENT ON COLUMN files.view_count IS 'How often it was shown; NULL is 0';
COMMENT ON COLUMN files.download_count IS 'How often it was downloaded; NULL is 0';
COMMENT ON COLUMN files.expires_at IS 'When it expires';
COMMENT ON COLUMN files.trashed_at IS 'When it was put into the trash; its object and texts are kept until it is erased';

-- Filters of the list. Partial, so that generated files, which have none of these, are not written to them.
CREATE INDEX files_uploaded_type ON files (file_type, id DESC) WHERE origin = 'uploaded';
CREATE INDEX files_uploaded_by ON files (uploaded_by, id DESC) WHERE uploaded_by IS NOT NULL;
CREATE INDEX files_folder ON files (folder, id DESC) WHERE folder IS NOT NULL;
CREATE INDEX files_related_post_id ON files (related_post_id, id) WHERE related_post_id IS NOT NULL;
CREATE INDEX files_tags ON files USING gin (tags) WHERE tags IS NOT NULL;

-- Uploads whose bytes are still arriving. The row is there before the first byte is stored, so that everything that can
-- lie in the store has a row that names it; it goes in the transaction that ends the upload.
CREATE TABLE uploads (
    file_id       BIGINT CONSTRAINT uploads_pkey PRIMARY KEY
                  CONSTRAINT uploads_file REFERENCES files (id) ON DELETE CASCADE,
    key           VARCHAR(500) NOT NULL,
    length        BIGINT,
    stored        BIGINT NOT NULL DEFAULT 0,
    sha256_state  BYTEA,
    wanted_sha256 VARCHAR(64),
    s3_upload_id  TEXT,
    parts         JSONB NOT NULL DEFAULT '[]',
    tail_size     BIGINT NOT NULL DEFAULT 0,
    tail_number   BIGINT NOT NULL DEFAULT 0,
    has_tails     BOOLEAN NOT NULL DEFAULT false,
    tus_metadata  TEXT,
    expires_at    TIMESTAMPTZ NOT NULL,
    lock_id       UUID,
    locked_until  TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
    CONSTRAINT uploads_length_not_negative CHECK (length >= 0),
    CONSTRAINT uploads_stored_within_length CHECK (stored >= 0 AND (length IS NULL OR stored <= length)),
    CONSTRAINT uploads_wanted_sha256_is_hex CHECK (wanted_sha256 ~ '^[0-9a-f]{64}$')
);

COMMENT ON TABLE uploads IS 'One row for each upload whose bytes are still arriving';
COMMENT ON COLUMN uploads.file_id IS 'The file that it becomes; also the name of the upload in its URL';
COMMENT ON COLUMN uploads.key IS 'Key of the object that it becomes';
COMMENT ON COLUMN uploads.length IS 'Announced number of bytes; NULL while the client has not told';
COMMENT ON COLUMN uploads.stored IS 'Bytes that are in the store: what a client that resumes goes on after';
COMMENT ON COLUMN uploads.sha256_state IS 'State of the SHA-256 over the stored bytes';
COMMENT ON COLUMN uploads.wanted_sha256 IS 'SHA-256 that the client announced';
COMMENT ON COLUMN uploads.s3_upload_id IS 'Multipart upload of the store; NULL while all bytes fit into one part';
COMMENT ON COLUMN uploads.parts IS 'Parts of it, in order';
COMMENT ON COLUMN uploads.tail_size IS 'Stored bytes behind the last part, too few for a part of their own';
COMMENT ON COLUMN uploads.tail_number IS 'Names the object that holds them';
COMMENT ON COLUMN uploads.has_tails IS 'Such objects may lie in the store';
COMMENT ON COLUMN uploads.tus_metadata IS 'Header Upload-Metadata, which HEAD repeats';
COMMENT ON COLUMN uploads.expires_at IS 'Ends as failed when nothing has arrived until then';
COMMENT ON COLUMN uploads.lock_id IS 'Request that writes to it';
COMMENT ON COLUMN uploads.locked_until IS 'Until when that request holds it; it is extended while bytes arrive';

CREATE INDEX uploads_expires_at ON uploads (expires_at);
-- Rows live for milliseconds: keep the table short under load.
ALTER TABLE uploads SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

ALTER TABLE object_removals ADD COLUMN s3_upload_id TEXT;
COMMENT ON COLUMN object_removals.s3_upload_id IS 'Multipart upload of that key to abort as well';

-- Older executables can't read rows of uploads: during a rolling upgrade the first upload waits for the last of them to stop.
INSERT INTO schema_compatibility (version, works_with) VALUES ('20261128000050', '20261126000010');
