-- migrate:up

-- Sealed addresses: no statement searches by them.
ALTER TABLE contact ALTER COLUMN address SET STATISTICS 0, ALTER COLUMN wrapped_key SET STATISTICS 0,
    ALTER COLUMN webhook SET STATISTICS 0, ALTER COLUMN webhook_key SET STATISTICS 0;
-- Found by key. The default, 50 rows and a tenth of the table, has a young table sampled at every look.
ALTER TABLE contact SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_insert_threshold = 50000);

-- migrate:down
ALTER TABLE contact RESET (autovacuum_analyze_threshold, autovacuum_vacuum_insert_threshold);
ALTER TABLE contact ALTER COLUMN address SET STATISTICS DEFAULT, ALTER COLUMN wrapped_key SET STATISTICS DEFAULT,
    ALTER COLUMN webhook SET STATISTICS DEFAULT, ALTER COLUMN webhook_key SET STATISTICS DEFAULT;
