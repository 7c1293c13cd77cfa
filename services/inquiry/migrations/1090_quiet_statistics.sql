-- migrate:up

-- No statement searches by what these columns hold, and to sample them reads and decompresses every value.
ALTER TABLE received ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN words SET STATISTICS 0;
ALTER TABLE step ALTER COLUMN data SET STATISTICS 0, ALTER COLUMN words SET STATISTICS 0;
ALTER TABLE inquiry ALTER COLUMN secret_hash SET STATISTICS 0;
-- Found by key. The default, 50 rows and a tenth of the table, has a young table sampled at every look.
ALTER TABLE received SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);
ALTER TABLE step SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);
ALTER TABLE inquiry SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);

-- migrate:down
ALTER TABLE inquiry RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE step RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE received RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE inquiry ALTER COLUMN secret_hash SET STATISTICS DEFAULT;
ALTER TABLE step ALTER COLUMN data SET STATISTICS DEFAULT, ALTER COLUMN words SET STATISTICS DEFAULT;
ALTER TABLE received ALTER COLUMN value SET STATISTICS DEFAULT, ALTER COLUMN words SET STATISTICS DEFAULT;
