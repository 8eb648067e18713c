DROP INDEX files_oldest_unfinished;
DROP TRIGGER files_counted_on_delete ON files;
DROP TRIGGER files_counted_on_update ON files;
DROP TRIGGER files_counted_on_insert ON files;
DROP FUNCTION count_files;
DROP TABLE status_counts;
