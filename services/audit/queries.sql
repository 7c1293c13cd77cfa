-- name: take_log_over
-- Whoever opens the log raises the epoch: an older writer that still runs fails at its next batch.
UPDATE log_head SET epoch = epoch + 1 RETURNING epoch, size, edge, subjects, vkey;

-- name: log_has_begun
SELECT vkey IS NOT NULL FROM log_head;

-- name: begin_log
UPDATE log_head SET vkey = $1;

-- name: log_cursors
SELECT topic, partition, first_offset, next_offset FROM log_cursor;

-- name: lock_log_head
SELECT epoch, size FROM log_head FOR UPDATE;

-- name: log_subjects
SELECT no, subject, key FROM log_subject WHERE subject = ANY ($1::text[]);

-- name: last_positions
SELECT subject_no, source, max(position) AS position FROM log_entry
WHERE subject_no = ANY ($1::bigint[]) AND kind = 'event' GROUP BY subject_no, source;

-- name: entries_at_positions
-- What the log holds already at these places of these subjects' sequences; nearly always nothing.
SELECT e.subject_no, e.source, e.position, e.index, e.value
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (subject_no, source, position)
JOIN log_entry e USING (subject_no, source, position) WHERE e.kind = 'event'
UNION ALL
SELECT e.subject_no, e.source, e.position, e.index, e.value
FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS u (subject_no, source, position)
JOIN log_entry e USING (subject_no, source, position) WHERE e.kind = 'incident'
ORDER BY index;

-- name: leaf_hashes_from
-- The leaf hashes of what this transaction appended, by PostgreSQL's own SHA-256 from the bytes that it stored.
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

-- name: advance_log_cursors
INSERT INTO log_cursor (topic, partition, first_offset, next_offset)
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset;

-- name: insert_log_checkpoint
INSERT INTO log_checkpoint (size, note) VALUES ($1, $2);

-- name: update_log_head
UPDATE log_head SET size = $1, edge = $2, subjects = $3;

-- name: log_checkpoint_at
SELECT note FROM log_checkpoint WHERE size = $1;

-- name: newest_log_checkpoint
SELECT h.size, h.edge, c.note FROM log_head h JOIN log_checkpoint c USING (size);

-- name: log_tiles
SELECT number, hashes FROM log_tile WHERE level = $1 AND number >= $2 AND number < $3 ORDER BY number;

-- name: log_entries
SELECT entry FROM log_entry WHERE index >= $1 AND index < $2 ORDER BY index;

-- name: entry_of_event
-- The log is asked by event id for proofs; the index on it is private.
SELECT e.index, e.entry, s.key IS NULL AS erased FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE e.event_id = $1::uuid AND e.kind = 'event' ORDER BY e.index LIMIT 1;

-- name: entries_from
-- For streams: the log's index is the cursor.
SELECT e.index, e.kind, e.appended_ms, e.source, e.type, e.value, s.subject
FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE e.index >= $1 ORDER BY e.index LIMIT $2;

-- name: newest_entries
SELECT e.index, e.kind, e.appended_ms, e.source, e.type, e.value, s.subject
FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE e.index < $1 ORDER BY e.index DESC LIMIT $2;

-- name: entries_of_subject
SELECT e.index, e.kind, e.appended_ms, e.source, e.type, e.value, s.subject
FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE s.subject = $1 AND e.index >= $2 ORDER BY e.index LIMIT $3;

-- name: log_size
SELECT size FROM log_head;

-- name: subjects_of_trace
SELECT no FROM log_subject WHERE subject = $1
UNION SELECT subject_no FROM log_correlation WHERE correlation = $1;

-- name: events_of_subjects
-- The places first, by the index on subjects: with the limit in sight a planner may walk the whole log instead.
WITH place AS MATERIALIZED (
    SELECT index FROM log_entry WHERE subject_no = ANY ($1::bigint[]) AND kind = 'event' AND index >= $2
)
SELECT e.index, e.appended_ms, e.entry, e.value
FROM (SELECT index FROM place ORDER BY index LIMIT $3) p JOIN log_entry e USING (index) ORDER BY e.index;

-- name: events_between
SELECT index, appended_ms, entry, value FROM log_entry
WHERE index >= $1 AND index < $2 AND kind = 'event' ORDER BY index;

-- name: events_by_id
SELECT index, appended_ms, entry, value FROM log_entry
WHERE event_id = ANY ($1::uuid[]) AND kind = 'event' ORDER BY index;

-- name: trace_beginnings
-- Where traces of these names may begin: with the first event of each source about the subject of that name.
SELECT e.index, e.appended_ms, e.entry, e.value
FROM log_subject s JOIN log_entry e ON e.subject_no = s.no
WHERE s.subject = ANY ($1::text[]) AND e.kind = 'event' AND e.position % 10000000000 = 1;

-- name: begin_trace_export
-- From now on: what was before is old, and the API answers it.
INSERT INTO trace_export (next_index) SELECT size FROM log_head ON CONFLICT DO NOTHING;

-- name: trace_export_next
SELECT next_index FROM trace_export;

-- name: advance_trace_export
UPDATE trace_export SET next_index = $2 WHERE next_index = $1 RETURNING next_index;
