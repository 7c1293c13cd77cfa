-- Large tables of the core: `$n` rows in each, `$own` of them for the calls of harness/piles.py.
INSERT INTO aggregate (id, sequences) SELECT 'case-' || lpad(i::text, 7, '0'),
    CASE WHEN i > $n - $own THEN '{"/services/inquiry": 10000000001, "/services/routing": 10000000001}'
    ELSE '{"/services/inquiry": 10000000001}'::jsonb END
FROM generate_series(1, $n) i;
INSERT INTO outbox (topic, key, value, words, written_at)
SELECT 't.main', key, convert_to(repeat('x', 600), 'UTF8'), 'words', '2026-11-24Z'::timestamptz + i * interval '1 ms'
FROM (SELECT i, 'case-' || lpad(i::text, 7, '0') AS key FROM generate_series(1, $n) i) c
WHERE hashtextextended(key, 0) & 15 > 0 OR i > $n - 16 * $own ORDER BY i;
INSERT INTO outbox_aside (id, shard, topic, key, value, words, written_at)
SELECT i, hashtextextended(key, 0) & 15, CASE WHEN i % 2 = 0 THEN 't.paused' ELSE 't.other' END, key,
    convert_to(repeat('x', 600), 'UTF8'), 'words', '2026-11-24Z'::timestamptz + i * interval '1 ms'
FROM (SELECT i, 'case-' || lpad(i::text, 7, '0') AS key FROM generate_series(1, $n) i) c
WHERE hashtextextended(key, 0) & 15 > 0 OR i > $n - 16 * $own;
INSERT INTO cursor SELECT CASE WHEN i > $n - 4 THEN 'mine' ELSE 'other-' || i % 1000 END, 't.' || i, 0, i FROM generate_series(1, $n) i;
INSERT INTO flood
SELECT 'other-' || i % 1000, 't.' || i, i % 12, '2026-11-24Z', 7,
    CASE WHEN i > $n - 4 THEN '2027-11-24Z'::timestamptz WHEN i % 2 = 0 THEN '2026-11-24Z' END, i % 3
FROM generate_series(1, $n) i;
INSERT INTO topic_width
SELECT 't.' || i, 3, CASE WHEN i <= 4 THEN 6 END, i IN (2, 4), CASE WHEN i <= 8 THEN i ELSE 0 END
FROM generate_series(1, $n) i;
-- Of four kinds, dispatches above all; two units each wait for the delivery of a case.
INSERT INTO expectation
SELECT 'case-' || lpad((CASE WHEN kind = 'delivery' THEN i / 20 ELSE i END)::text, 7, '0'), kind,
    CASE WHEN kind = 'delivery' THEN 'unit-' || i / 10 % 2 ELSE '' END, '2026-11-24Z'::timestamptz + i * interval '1 ms'
FROM (SELECT i, CASE i % 10 WHEN 7 THEN 'intake' WHEN 8 THEN 'delivery' WHEN 9 THEN 'answer' ELSE 'dispatch' END AS kind
    FROM generate_series(1, $n) i) e;
INSERT INTO topic_loss (consumer, topic, partition, kind, from_offset, to_offset, found_at, seen_at)
SELECT 'other', 't.' || i, 0, 'expired', 0, 1, '2026-11-24Z', CASE WHEN i <= $n - $own THEN '2026-11-24Z'::timestamptz END
FROM generate_series(1, $n) i;
INSERT INTO sent_mark SELECT 't.' || i, 0, 1 FROM generate_series(1, $n) i;
INSERT INTO seen_event SELECT 't.actions', 'a-' || i, '2026-11-24Z'::timestamptz + i * interval '1 s'
FROM generate_series(1, $n) i;
INSERT INTO parked_key
SELECT CASE WHEN i > $n - $own THEN 'mine' ELSE 'other' END, 't.main', 'case-' || lpad(i::text, 7, '0'), 'busy', 1,
    '2026-11-24Z'::timestamptz + i * interval '1 ms', i % 10 = 0
FROM generate_series(1, $n) i WHERE i > $n / 2;
INSERT INTO parked_event (consumer, topic, key, partition, "offset", appended_ms, record_key, value, words)
SELECT CASE WHEN i > $n - $own THEN 'mine' ELSE 'other' END, 't.main', 'case-' || lpad(i::text, 7, '0'), i % 4, i, 0,
    NULL, convert_to(repeat('x', 600), 'UTF8'), 'words'
FROM generate_series(1, $n) i;
INSERT INTO dead_letter (consumer, topic, partition, "offset", appended_ms, key, record_key, value, words, error, detail,
    attempts, recorded_at, resolution, resolved_at)
SELECT CASE WHEN i > $n - $own THEN 'mine' ELSE 'other' END, 't.main', i % 4, i, 0,
    CASE WHEN i % 2 = 0 THEN 'case-' || lpad(i::text, 7, '0') END, convert_to('case-' || lpad(i::text, 7, '0'), 'UTF8'),
    convert_to(repeat('x', 600), 'UTF8'), 'words', 'bad', '', 8, '2026-11-24Z',
    CASE WHEN i < $n / 2 THEN 'discarded' END,
    CASE WHEN i < $n / 2 - $own THEN '2026-11-24Z'::timestamptz + i * interval '1 ms' END
FROM generate_series(1, $n) i;
INSERT INTO timer SELECT 'case-' || lpad(i::text, 7, '0'), CASE WHEN i % 2 = 0 THEN 'mark' ELSE 'breach' END,
    m.due, m.due, i % 2 = 1, '{}'
FROM generate_series(1, $n) i, LATERAL (
    SELECT CASE WHEN i % 2 = 1 OR i <= 2 * $own THEN '2026-11-24Z'::timestamptz ELSE '2027-11-24Z' END AS due
) m;
INSERT INTO idempotency_key SELECT 'scope', 'k-' || i, '\x00', 200, '{}', '2026-11-24Z'::timestamptz + i * interval '1 s'
FROM generate_series(1, $n) i;
INSERT INTO policy_version SELECT 'v-' || i, '{}' FROM generate_series(1, $n) i;
ANALYZE;
