-- The log's writer and publisher. `position` is the ordinal of an event: epoch * 10^10 + sequence.

-- name: avoid_scans
-- Thousands of keys are looked up at a time in tables that grow from empty: a plan made while they were small
-- must not scan them once they are large.
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;

-- name: take_log_over
-- Opening the log raises the epoch: an older writer that still runs fails at its next batch.
UPDATE log_head SET epoch = epoch + 1 RETURNING epoch, size, edge, subjects, vkey;

-- name: log_head
SELECT size, edge, vkey FROM log_head;

-- name: log_has_begun
SELECT vkey IS NOT NULL FROM log_head;

-- name: begin_log
UPDATE log_head SET vkey = $1;

-- name: lock_log_head
SELECT epoch, size FROM log_head FOR UPDATE;

-- name: update_log_head
UPDATE log_head SET size = $1, edge = $2, subjects = $3;

-- name: log_cursors
SELECT topic, partition, first_offset, next_offset, last_offset, last_ms, last_hash FROM log_cursor;

-- name: advance_log_cursors
INSERT INTO log_cursor (topic, partition, first_offset, next_offset, last_offset, last_ms, last_hash)
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset,
    last_offset = excluded.last_offset, last_ms = excluded.last_ms, last_hash = excluded.last_hash;

-- name: reset_log_cursor
-- A trigger compares it with the `reset` entry of this index.
INSERT INTO log_cursor (topic, partition, first_offset, next_offset, reset_index) VALUES ($1, $2, $3, $3, $4)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset,
    reset_index = excluded.reset_index, last_offset = NULL, last_ms = NULL, last_hash = NULL;

-- name: keep_log_refusals
INSERT INTO log_refusal (topic, partition, taken, "offset", finding, refused_at)
SELECT *, $6::timestamptz FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[])
ON CONFLICT (topic, partition) WHERE entry_index IS NULL DO NOTHING;

-- name: open_log_refusals
SELECT topic, partition, taken, "offset", finding FROM log_refusal WHERE entry_index IS NULL
ORDER BY topic, partition;

-- name: close_log_refusal
UPDATE log_refusal SET entry_index = $3, "offset" = $4, resumed_by = $5, resumed_for = $6, resumed_at = $7
WHERE topic = $1 AND partition = $2 AND entry_index IS NULL;

-- name: log_gaps_of
SELECT entry_index AS entry, subject_no, source, first, "end", opened_at, reported, accepted FROM log_gap
WHERE (subject_no, source) IN (SELECT * FROM unnest($1::bigint[], $2::text[]));

-- name: delete_log_gaps
DELETE FROM log_gap
WHERE (subject_no, source, first) IN (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]));

-- name: insert_log_gaps
INSERT INTO log_gap (entry_index, subject_no, source, first, "end", opened_at, reported, accepted)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[],
                     $7::boolean[], $8::text[]);

-- name: report_log_gaps
UPDATE log_gap g SET reported = true FROM (
    SELECT subject_no, source, first FROM log_gap WHERE NOT reported AND opened_at < $1 LIMIT $2
) due, log_subject s
WHERE (g.subject_no, g.source, g.first) = (due.subject_no, due.source, due.first) AND s.no = g.subject_no
RETURNING g.entry_index AS entry, g.subject_no, g.source, g.first, g."end", g.opened_at, g.reported, g.accepted,
    s.subject;

-- name: count_log_gaps
-- Asked all the time, so it looks at 10,000 gaps and no further: who is missing that much needs no other number.
SELECT coalesce(sum("end" - first), 0)::bigint FROM (
    SELECT first, "end" FROM log_gap WHERE opened_at < $1 AND accepted IS NULL ORDER BY opened_at LIMIT 10000
) g;

-- name: list_log_gaps
SELECT g.entry_index AS entry, g.subject_no, g.source, g.first, g."end", g.opened_at, g.reported, g.accepted, s.subject
FROM log_gap g JOIN log_subject s ON s.no = g.subject_no
WHERE g.accepted IS NULL OR $1 ORDER BY g.entry_index, g.first LIMIT $2;

-- name: accept_log_gaps
UPDATE log_gap g SET accepted = $2 FROM log_subject s
WHERE s.subject = $1 AND g.subject_no = s.no AND g.accepted IS NULL RETURNING g.first;

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

-- name: words_of_subjects
SELECT subject_no, index, sealed FROM log_words WHERE subject_no = ANY ($1::bigint[]);

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
-- Two publishers may sign the same tree: the signature is the same too.
INSERT INTO log_checkpoint (size, note) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: newest_log_checkpoint
SELECT note FROM log_checkpoint ORDER BY size DESC LIMIT 1;

-- name: thin_log_checkpoints
-- In steps: an installation that kept each of them may have millions.
DELETE FROM log_checkpoint WHERE size IN (SELECT size FROM log_checkpoint WHERE size < $1 ORDER BY size LIMIT $2);

-- name: log_tiles
SELECT number, hashes FROM log_tile WHERE level = $1 AND number >= $2 AND number < $3 ORDER BY number;

-- name: log_entries
SELECT entry FROM log_entry WHERE index >= $1 AND index < $2 ORDER BY index;
