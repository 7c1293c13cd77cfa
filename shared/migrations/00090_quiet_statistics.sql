-- migrate:up

-- No statement searches by what these columns hold, and to sample them reads and decompresses every value.
ALTER TABLE aggregate ALTER COLUMN sequences SET STATISTICS 0;
ALTER TABLE outbox ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN words SET STATISTICS 0,
    ALTER COLUMN delivery SET STATISTICS 0;
ALTER TABLE outbox_aside ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN words SET STATISTICS 0,
    ALTER COLUMN delivery SET STATISTICS 0;
ALTER TABLE timer ALTER COLUMN data SET STATISTICS 0;
ALTER TABLE idempotency_key ALTER COLUMN body_hash SET STATISTICS 0, ALTER COLUMN response SET STATISTICS 0;
ALTER TABLE parked_event ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN words SET STATISTICS 0;
ALTER TABLE dead_letter ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN words SET STATISTICS 0;

-- Rows live for a second, so their statistics are wrong as soon as they are made: the relay plans without them.
ALTER TABLE outbox SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
ALTER TABLE expectation SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000);
-- Found by key alone. The default, 50 rows and a tenth of the table, has a young table sampled at every look.
ALTER TABLE aggregate SET (autovacuum_analyze_threshold = 50000, autovacuum_vacuum_threshold = 20000);
ALTER TABLE timer SET (autovacuum_analyze_threshold = 50000);
ALTER TABLE idempotency_key SET (autovacuum_analyze_threshold = 50000);

-- A case changes here two or three times within a second. With half of each new page free, the later versions of a row
-- fit beside it and no index is written. Pages that exist stay as they are.
ALTER TABLE aggregate SET (fillfactor = 50);

-- migrate:down
ALTER TABLE aggregate SET (fillfactor = 70);
ALTER TABLE idempotency_key RESET (autovacuum_analyze_threshold);
ALTER TABLE timer RESET (autovacuum_analyze_threshold);
ALTER TABLE aggregate RESET (autovacuum_analyze_threshold, autovacuum_vacuum_threshold);
ALTER TABLE expectation RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE outbox RESET (autovacuum_analyze_scale_factor, autovacuum_analyze_threshold);
ALTER TABLE dead_letter ALTER COLUMN value SET STATISTICS DEFAULT, ALTER COLUMN words SET STATISTICS DEFAULT;
ALTER TABLE parked_event ALTER COLUMN value SET STATISTICS DEFAULT, ALTER COLUMN words SET STATISTICS DEFAULT;
ALTER TABLE idempotency_key ALTER COLUMN body_hash SET STATISTICS DEFAULT,
    ALTER COLUMN response SET STATISTICS DEFAULT;
ALTER TABLE timer ALTER COLUMN data SET STATISTICS DEFAULT;
ALTER TABLE outbox_aside ALTER COLUMN value SET STATISTICS DEFAULT, ALTER COLUMN words SET STATISTICS DEFAULT,
    ALTER COLUMN delivery SET STATISTICS DEFAULT;
ALTER TABLE outbox ALTER COLUMN value SET STATISTICS DEFAULT, ALTER COLUMN words SET STATISTICS DEFAULT,
    ALTER COLUMN delivery SET STATISTICS DEFAULT;
ALTER TABLE aggregate ALTER COLUMN sequences SET STATISTICS DEFAULT;
