-- What readers ask of the log, and locks between copies of the service.

-- name: try_lock
-- A session lock; only one process at a time holds it.
SELECT pg_try_advisory_lock($1, 0);

-- name: log_size
SELECT size FROM log_head;

-- name: entry_of_event
-- The log is asked by event id for proofs; the index on it is private.
SELECT e.index, e.entry, s.key IS NULL AS erased FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE e.event_id = $1::uuid AND e.kind = 'event' ORDER BY e.index LIMIT 1;

-- name: entries_from
-- For streams: the log's index is the cursor.
SELECT e.index, e.kind, e.appended_ms, e.source, e.type, e.value, s.subject,
       CASE WHEN e.kind = 'reset' THEN e.entry END AS reset
FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE e.index >= $1 ORDER BY e.index LIMIT $2;

-- name: newest_entries
SELECT e.index, e.kind, e.appended_ms, e.source, e.type, e.value, s.subject,
       CASE WHEN e.kind = 'reset' THEN e.entry END AS reset
FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE e.index < $1 ORDER BY e.index DESC LIMIT $2;

-- name: entries_of_subject
SELECT e.index, e.kind, e.appended_ms, e.source, e.type, e.value, s.subject,
       CASE WHEN e.kind = 'reset' THEN e.entry END AS reset
FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
WHERE s.subject = $1 AND e.index >= $2 ORDER BY e.index LIMIT $3;
