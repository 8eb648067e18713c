DELETE FROM files WHERE origin = 'uploaded';
DELETE FROM schema_compatibility WHERE version = '20261128000050';
ALTER TABLE object_removals DROP COLUMN s3_upload_id;
DROP TABLE uploads;
ALTER TABLE files
    DROP COLUMN origin,
    DROP COLUMN file_name,
    DROP COLUMN file_type,
    DROP COLUMN claimed_type,
    DROP COLUMN uploaded_by,
    DROP COLUMN uploaded_by_name,
    DROP COLUMN folder,
    DROP COLUMN tags,
    DROP COLUMN related_post_id,
    DROP COLUMN related_category_id,
    DROP COLUMN metadata,
    DROP COLUMN view_count,
    DROP COLUMN download_count,
    DROP COLUMN expires_at,
    DROP COLUMN trashed_at;
ALTER TABLE files ALTER COLUMN format SET NOT NULL;
ALTER TABLE files DROP CONSTRAINT files_status_known;
ALTER TABLE files ADD CONSTRAINT files_status_known
    CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled', 'deleted'));
COMMENT ON COLUMN files.format IS 'Kind of file, also its extension';
COMMENT ON COLUMN files.content_type IS 'Media type that the download is answered with';
