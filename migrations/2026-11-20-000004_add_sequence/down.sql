ALTER TABLE outbox DROP COLUMN retry_at;
ALTER TABLE files DROP COLUMN sequence;
