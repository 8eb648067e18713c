-- How long an object has been waiting for its removal: what `filesys fsck` judges by. retry_at moves with each try.
ALTER TABLE object_removals ADD COLUMN created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP;
COMMENT ON COLUMN object_removals.created_at IS 'When its transaction began';
