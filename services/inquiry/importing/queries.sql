-- name: read_progress
SELECT records FROM import_progress WHERE fingerprint = $1;

-- name: keep_progress
-- In the transaction of the batch. Concurrent imports can only move it forward.
INSERT INTO import_progress AS p (fingerprint, records) VALUES ($1, $2)
ON CONFLICT (fingerprint) DO UPDATE SET records = greatest(p.records, excluded.records);

-- name: keep_rejected
INSERT INTO import_rejected (fingerprint, line, external_id, reason)
SELECT $1, line, external_id, reason
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS r (line, external_id, reason)
ON CONFLICT DO NOTHING;

-- name: count_rejected
SELECT count(*) FROM import_rejected WHERE fingerprint = $1;

-- name: read_rejected
SELECT line, external_id, reason FROM import_rejected WHERE fingerprint = $1 ORDER BY line;

-- name: forget_progress
DELETE FROM import_progress WHERE fingerprint = $1;

-- name: forget_rejected
DELETE FROM import_rejected WHERE fingerprint = $1;

-- name: try_lock_source
-- One import per source at a time: two would wait for each other's rows.
SELECT pg_try_advisory_lock(hashtext('civicloom import'), hashtext($1));

-- name: allow_any_duration
SET LOCAL transaction_timeout = 0;
