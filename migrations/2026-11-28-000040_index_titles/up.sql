-- Titles of files once more, for searches. An index of trigrams on `files` would be written at every change of a status,
-- as all its indexes are: each moves the row. Here a title is written once. `filesys migrate` makes the index when the
-- extension pg_trgm can be had (`TITLE_INDEX` in src/db/migrations.rs); without it searches read this table.
CREATE TABLE file_titles (
    file_id BIGINT CONSTRAINT file_titles_pkey PRIMARY KEY,
    title   TEXT NOT NULL
);

COMMENT ON TABLE file_titles IS 'Titles that are searched; kept by triggers of files';
COMMENT ON COLUMN file_titles.file_id IS 'Whose title it is; files that are erased have none here';
COMMENT ON COLUMN file_titles.title IS 'As in files';

-- By triggers, so that older executables keep it as well during a rolling upgrade.
CREATE FUNCTION add_titles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO file_titles (file_id, title) SELECT id, title FROM gained WHERE erased_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER files_titled_on_insert AFTER INSERT ON files REFERENCING NEW TABLE AS gained
    FOR EACH STATEMENT EXECUTE FUNCTION add_titles();

-- Only statements that name the column fire it: not those that change a status.
CREATE FUNCTION change_title() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.erased_at IS NULL THEN
        UPDATE file_titles SET title = NEW.title WHERE file_id = NEW.id;
    ELSE
        DELETE FROM file_titles WHERE file_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER files_titled_on_update AFTER UPDATE OF title ON files
    FOR EACH ROW WHEN (OLD.title IS DISTINCT FROM NEW.title) EXECUTE FUNCTION change_title();

CREATE FUNCTION forget_titles() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM file_titles WHERE file_id IN (SELECT id FROM lost);
    RETURN NULL;
END $$;
CREATE TRIGGER files_titled_on_delete AFTER DELETE ON files REFERENCING OLD TABLE AS lost
    FOR EACH STATEMENT EXECUTE FUNCTION forget_titles();

-- After the triggers, which have waited for whoever was writing.
INSERT INTO file_titles (file_id, title) SELECT id, title FROM files WHERE erased_at IS NULL;

INSERT INTO schema_compatibility (version, works_with) VALUES ('20261128000040', '20261126000010');
