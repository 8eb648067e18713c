DELETE FROM schema_compatibility WHERE version = '20261128000040';
DROP TRIGGER files_titled_on_delete ON files;
DROP TRIGGER files_titled_on_update ON files;
DROP TRIGGER files_titled_on_insert ON files;
DROP FUNCTION forget_titles;
DROP FUNCTION change_title;
DROP FUNCTION add_titles;
DROP TABLE file_titles;
