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
-- Positions first, by the index of each kind: with the limit in sight a planner would scan the log for them. What is
-- neither event nor incident may be much, all under one subject.
WITH one AS MATERIALIZED (SELECT no FROM log_subject WHERE subject = $1), place AS MATERIALIZED (
    SELECT index FROM log_entry WHERE subject_no = (SELECT no FROM one) AND kind = 'event' AND index >= $2
    UNION ALL
    SELECT index FROM log_entry WHERE subject_no = (SELECT no FROM one) AND kind = 'incident' AND index >= $2
    UNION ALL
    (SELECT index FROM log_entry
     WHERE subject_no = (SELECT no FROM one) AND kind NOT IN ('event', 'incident') AND index >= $2
     ORDER BY subject_no, index LIMIT $3)
)
SELECT e.index, e.kind, e.appended_ms, e.source, e.type, e.value, s.subject,
       CASE WHEN e.kind = 'reset' THEN e.entry END AS reset
FROM (SELECT index FROM place ORDER BY index LIMIT $3) p JOIN log_entry e USING (index)
JOIN log_subject s ON s.no = e.subject_no ORDER BY e.index;

-- name: appended_at
SELECT appended_ms FROM log_entry WHERE index = $1;

-- name: any_since
SELECT EXISTS (SELECT FROM log_entry WHERE index >= $1 AND index < $2 AND appended_ms >= $3);

-- name: kept_entries
SELECT e.index, e.source, s.subject, e.subject_no, s.key, e.position, e.value, w.sealed
FROM log_entry e JOIN log_subject s ON s.no = e.subject_no
LEFT JOIN log_words w ON w.subject_no = e.subject_no AND w.index = e.index
WHERE e.index >= $1 AND e.index < $2 AND e.kind = 'event' ORDER BY e.index;

-- name: sequences_of_subjects
SELECT s.subject, e.position FROM log_subject s JOIN log_entry e ON e.subject_no = s.no
WHERE s.subject = ANY ($1::text[]) AND e.source = $2 AND e.kind = 'event';

-- name: next_log_offsets
SELECT topic, partition, next_offset FROM log_cursor;

-- name: newest_subject
SELECT coalesce(max(no), -1) FROM log_subject;

-- name: next_subjects
-- New subjects of the log, and those of them that are cases by an event of another service, but whose lowest event of
-- inquiry is not the first of its sequence (in whatever epoch), or which have none. `position` is epoch * 10^10 + sequence.
SELECT count(*) AS seen, max(no) AS last, array_agg(subject) FILTER (WHERE unbegun) AS unbegun
FROM (
    SELECT no, subject FROM log_subject WHERE no > (SELECT checked FROM case_check) AND no <= $1 ORDER BY no LIMIT $2
) s
CROSS JOIN LATERAL (
    SELECT (
        SELECT min(position) FROM log_entry
        WHERE subject_no = s.no AND source = '/services/inquiry' AND kind = 'event'
    ) % 10000000000 IS DISTINCT FROM 1 AND EXISTS (
        SELECT FROM log_entry WHERE subject_no = s.no AND source = ANY ($3::text[]) AND kind = 'event'
        AND type = ANY ($4::text[])
    ) AS unbegun
) b;

-- name: mark_checked
UPDATE case_check SET checked = $1;

-- name: begun_since
-- Of so many cases that wait for the entry of their intake, by subject, those that have it; and where to go on. Each is
-- looked up by itself: a join might read all subjects.
SELECT max(subject) AS last, count(*) AS seen, array_agg(subject) FILTER (WHERE first % 10000000000 = 1) AS begun
FROM (SELECT subject FROM expectation WHERE subject > $1 ORDER BY subject LIMIT $2) e
CROSS JOIN LATERAL (
    SELECT min(position) AS first FROM log_entry
    WHERE subject_no = (SELECT no FROM log_subject s WHERE s.subject = e.subject)
    AND source = '/services/inquiry' AND kind = 'event'
) f;

-- name: late_beginning
-- When the log was begun, if records of a topic were gone by then.
SELECT appended_ms FROM log_entry
WHERE EXISTS (SELECT FROM log_cursor WHERE topic = $1 AND first_offset > 0) ORDER BY index LIMIT 1;
