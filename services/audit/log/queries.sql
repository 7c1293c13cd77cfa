-- The log's writer and publisher. `position` is the ordinal of an event: epoch * 10^10 + sequence.

-- name: avoid_scans
-- Thousands of keys are looked up at a time in tables that grow from empty: a plan made while they were small
-- must not scan them once they are large.
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;

-- name: take_log_over
-- Opening the log raises the epoch: an older writer that still runs fails at its next batch.
UPDATE log_head SET epoch = epoch + 1 RETURNING epoch, size, edge, subjects, vkey;

-- name: log_has_begun
SELECT vkey IS NOT NULL FROM log_head;

-- name: begin_log
UPDATE log_head SET vkey = $1;

-- name: lock_log_head
SELECT epoch, size FROM log_head FOR UPDATE;

-- name: update_log_head
UPDATE log_head SET size = $1, edge = $2, subjects = $3;

-- name: log_cursors
SELECT topic, partition, first_offset, next_offset FROM log_cursor;

-- name: advance_log_cursors
INSERT INTO log_cursor (topic, partition, first_offset, next_offset)
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset;

-- name: log_subjects
SELECT no, subject, key FROM log_subject WHERE subject = ANY ($1::text[]);

-- name: keyed_subjects
SELECT no, subject, key FROM log_subject WHERE key IS NOT NULL;

-- name: last_positions
SELECT subject_no, source, max(position) AS position FROM log_entry
WHERE subject_no = ANY ($1::bigint[]) AND kind = 'event' GROUP BY subject_no, source;

-- name: entries_at_positions
-- What is logged already at these positions of these subjects' sequences; nearly always nothing.
SELECT e.subject_no, e.source, e.position, e.index, e.value
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (subject_no, source, position)
JOIN log_entry e USING (subject_no, source, position) WHERE e.kind = 'event'
UNION ALL
SELECT e.subject_no, e.source, e.position, e.index, e.value
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (subject_no, source, position)
JOIN log_entry e USING (subject_no, source, position) WHERE e.kind = 'incident'
ORDER BY index;

-- name: leaf_hashes_from
-- The leaf hashes of what this transaction appended, computed by PostgreSQL from the bytes that it stored.
SELECT string_agg(sha256('\x00'::bytea || entry), ''::bytea ORDER BY index) FROM log_entry WHERE index >= $1;

-- name: insert_log_tiles
INSERT INTO log_tile (level, number, hashes) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]);

-- name: insert_log_correlations
INSERT INTO log_correlation (correlation, subject_no) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT DO NOTHING;

-- name: destroy_log_keys
UPDATE log_subject SET key = NULL WHERE no = ANY ($1::bigint[]);

-- name: delete_log_words
DELETE FROM log_words WHERE subject_no = ANY ($1::bigint[]);

-- name: insert_log_checkpoint
INSERT INTO log_checkpoint (size, note) VALUES ($1, $2);

-- name: log_checkpoint_at
SELECT note FROM log_checkpoint WHERE size = $1;

-- name: newest_log_checkpoint
SELECT h.size, h.edge, c.note FROM log_head h JOIN log_checkpoint c USING (size);

-- name: log_tiles
SELECT number, hashes FROM log_tile WHERE level = $1 AND number >= $2 AND number < $3 ORDER BY number;

-- name: log_entries
SELECT entry FROM log_entry WHERE index >= $1 AND index < $2 ORDER BY index;
