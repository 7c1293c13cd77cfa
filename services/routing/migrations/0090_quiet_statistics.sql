-- migrate:up

-- No statement searches by words, and to sample them reads and decompresses every value.
ALTER TABLE case_file ALTER COLUMN words SET STATISTICS 0, ALTER COLUMN reply_refused SET STATISTICS 0;
ALTER TABLE assignment ALTER COLUMN note SET STATISTICS 0;
-- Found by key or by an index of their own. The default, 50 rows and a tenth of the table, has a young table sampled at
-- every look.
ALTER TABLE case_file SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);
ALTER TABLE assignment SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);

-- migrate:down
ALTER TABLE assignment RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE case_file RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE assignment ALTER COLUMN note SET STATISTICS DEFAULT;
ALTER TABLE case_file ALTER COLUMN words SET STATISTICS DEFAULT, ALTER COLUMN reply_refused SET STATISTICS DEFAULT;
