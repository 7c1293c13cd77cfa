-- Large tables of inquiry: as in harness/piles.sql. The cases of each state but the common ones are the oldest.
INSERT INTO inquiry (id, number, secret_hash, kind, service_code, visibility, channel, external_source, external_id,
    created, stage, holding, policy_version, clock_start, due, day_zero, amount, day_count)
SELECT 'case-' || lpad(i::text, 7, '0'), 'n-' || i, 'h', 'help', 'street-light', 'public', 'web',
    CASE WHEN i % 2 = 0 THEN 'hotline' END, CASE WHEN i % 2 = 0 THEN 'x-' || i END,
    '2026-11-24Z'::timestamptz + i * interval '1 s',
    CASE WHEN i <= $own THEN 'received' WHEN i <= 4 * $own THEN 'accepted' WHEN i <= 5 * $own THEN 'replied'
        WHEN i % 2 = 0 THEN 'closed' ELSE 'accepted' END,
    CASE WHEN i <= 2 * $own THEN 'none' WHEN i <= 3 * $own THEN 'signed' ELSE 'dispatched' END,
    'v-1', '2026-11-24Z', '2026-12-24Z', '2026-11-24', 7, 'working'
FROM generate_series(1, $n) i;
-- What routing has mentioned and inquiry has not received, newer than all.
INSERT INTO inquiry (id, holding) SELECT 'early-' || i, 'dispatched' FROM generate_series(1, $n / 5) i;
INSERT INTO received SELECT 'case-' || lpad(i::text, 7, '0'), convert_to(repeat('x', 600), 'UTF8'), 'words'
FROM generate_series(1, $n) i;
INSERT INTO step (inquiry, at, kind, data, words)
SELECT 'case-' || lpad(i::text, 7, '0'), '2026-11-24Z', 'accepted', '{}', 'words' FROM generate_series(1, $n) i;
INSERT INTO contact SELECT 'case-' || lpad(i::text, 7, '0'), 'name', 'mail', 'phone', 'zh' FROM generate_series(1, $n) i;
INSERT INTO import_progress SELECT 'other-' || i, i FROM generate_series(1, $n) i;
INSERT INTO import_rejected SELECT CASE WHEN i <= $own THEN 'mine' ELSE 'other-' || i % 7 END, i, 'x-' || i, 'bad'
FROM generate_series(1, $n) i;
ANALYZE;
