-- Each row of an index costs as much as a row of its table, and each file is written three times: once when it is asked
-- for, once when it starts and once when it ends, with a line of history and a message or two each time. So there is an
-- index for each question that is asked, and no other.

-- Files are listed by id, which grows with created_at.
DROP INDEX files_created_at;

-- The primary key, whose order is the order of publishing, finds what is ready: rows that are parked are few.
DROP INDEX outbox_ready;
-- Only of requests it is asked whether they are still here.
DROP INDEX outbox_file_id;
CREATE INDEX outbox_requests ON outbox (file_id) WHERE topic = 'file.create';

COMMENT ON COLUMN outbox.retry_at IS 'Not taken before: it is being published by who wrote it, or its topic can''t be written at present; those behind it flow on';

-- The history is asked for by file.
ALTER TABLE transitions DROP CONSTRAINT transitions_pkey;
DROP INDEX transitions_file_id;
ALTER TABLE transitions ADD CONSTRAINT transitions_pkey PRIMARY KEY (file_id, id);

-- Lines are written in the transaction that writes their file: to look for it again for each of them finds nothing wrong
-- and costs as much as the line. When files are deleted their lines still go with them, once for each statement.
ALTER TABLE transitions DROP CONSTRAINT transitions_file;
CREATE FUNCTION forget_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM transitions WHERE file_id IN (SELECT id FROM lost);
    RETURN NULL;
END $$;
CREATE TRIGGER files_forgotten_on_delete AFTER DELETE ON files REFERENCING OLD TABLE AS lost
    FOR EACH STATEMENT EXECUTE FUNCTION forget_history();
