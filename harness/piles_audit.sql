-- Large tables of the log: as in harness/piles.sql. A fifth of its entries were no events and have one subject.
INSERT INTO log_subject SELECT i, 'case-' || lpad(i::text, 7, '0'), 'k' FROM generate_series(1, $n) i;
INSERT INTO log_subject VALUES ($n + 1, 'unreadable', 'k');
INSERT INTO log_entry (index, kind, appended_ms, subject_no, position, event_id, source, type, entry, value)
SELECT i, k.kind, i, CASE WHEN k.kind = 'unparseable' THEN $n + 1 ELSE 1 + i / 5 END,
    CASE WHEN k.kind <> 'unparseable' THEN 10000000001 + i % 5 END,
    CASE WHEN k.kind <> 'unparseable' THEN ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid END,
    CASE WHEN k.kind <> 'unparseable' THEN '/services/inquiry' END, 'accepted', repeat('e', 200)::bytea, repeat('v', 200)::bytea
FROM generate_series(0, $n - 1) i, LATERAL (SELECT CASE i % 5 WHEN 4 THEN 'unparseable' WHEN 3 THEN 'incident' ELSE 'event' END
    AS kind) k;
INSERT INTO log_correlation SELECT 'c-' || i / 2, i FROM generate_series(1, $n) i;
INSERT INTO log_words SELECT i, i, 'w' FROM generate_series(1, $n) i;
INSERT INTO log_tile SELECT i % 4, i, 'h' FROM generate_series(1, $n) i;
INSERT INTO log_checkpoint SELECT i, 'note' FROM generate_series(1, $n) i;
INSERT INTO log_cursor (topic, partition, next_offset) SELECT 't.main', i, i FROM generate_series(1, 12) i;
UPDATE log_head SET size = $n, subjects = $n + 1;
INSERT INTO log_refusal (topic, partition, taken, "offset", finding, refused_at, entry_index)
SELECT 't.main', i % 12, i, i, 'gap', '2026-11-24Z', CASE WHEN i > 12 THEN i END FROM generate_series(1, $n) i;
-- Half are given up on, the oldest; nearly all are reported.
INSERT INTO log_gap SELECT i, '/services/inquiry', 10000000001, 10000000002, i, '2026-11-24Z'::timestamptz + i * interval '1 s',
    i <= $n - $own, CASE WHEN i <= $n / 2 THEN 'me' END
FROM generate_series(1, $n) i;
-- Half of the cases without an intake have one since.
INSERT INTO expectation SELECT 'case-' || lpad(i::text, 7, '0'), 'intake', '', '2026-11-24Z' FROM generate_series(1, $n) i;
UPDATE case_check SET checked = $n / 10;
INSERT INTO trace_export VALUES (true, 7);
ANALYZE;
