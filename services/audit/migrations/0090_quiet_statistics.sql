-- migrate:up

-- No statement searches by what these columns hold, and to sample them reads and decompresses every value.
ALTER TABLE log_entry ALTER COLUMN entry SET STATISTICS 0, ALTER COLUMN value SET STATISTICS 0,
    ALTER COLUMN fault SET STATISTICS 0;
ALTER TABLE log_words ALTER COLUMN sealed SET STATISTICS 0;
ALTER TABLE log_subject ALTER COLUMN key SET STATISTICS 0;
ALTER TABLE log_tile ALTER COLUMN hashes SET STATISTICS 0;
-- The writer plans on indexes whatever the statistics say. The default, 50 rows and a tenth of the table, has a young
-- log sampled at every look.
ALTER TABLE log_entry SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);
ALTER TABLE log_words SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);
ALTER TABLE log_subject SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);

-- migrate:down
ALTER TABLE log_subject RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE log_words RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE log_entry RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE log_tile ALTER COLUMN hashes SET STATISTICS DEFAULT;
ALTER TABLE log_subject ALTER COLUMN key SET STATISTICS DEFAULT;
ALTER TABLE log_words ALTER COLUMN sealed SET STATISTICS DEFAULT;
ALTER TABLE log_entry ALTER COLUMN entry SET STATISTICS DEFAULT, ALTER COLUMN value SET STATISTICS DEFAULT,
    ALTER COLUMN fault SET STATISTICS DEFAULT;
