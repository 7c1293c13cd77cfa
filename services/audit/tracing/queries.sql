-- Traces: read for the API and the command, and the cursor of the exporter.

-- name: avoid_scans
-- As for the log's writer: plans made while the tables were small must not scan them later.
SET enable_seqscan = off; SET enable_hashjoin = off;

-- name: subjects_of_trace
SELECT no FROM log_subject WHERE subject = $1
UNION SELECT subject_no FROM log_correlation WHERE correlation = $1;

-- name: events_of_subjects
-- Positions first, by the index on subjects: with the limit in sight a planner may scan the whole log instead.
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
-- Where traces with these names may begin: the first event of each source about the subject of that name.
SELECT e.index, e.appended_ms, e.entry, e.value
FROM log_subject s JOIN log_entry e ON e.subject_no = s.no
WHERE s.subject = ANY ($1::text[]) AND e.kind = 'event' AND e.position % 10000000000 = 1;

-- name: begin_trace_export
-- Start with new entries; older ones are served by the API.
INSERT INTO trace_export (next_index) SELECT size FROM log_head ON CONFLICT DO NOTHING;

-- name: trace_export_next
SELECT next_index FROM trace_export;

-- name: advance_trace_export
UPDATE trace_export SET next_index = $2 WHERE next_index = $1 RETURNING next_index;
