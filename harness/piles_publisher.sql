-- Large tables of the publisher: as in harness/piles.sql. Rows of the rare topic and of rare states are the oldest.
INSERT INTO publication (id, state, version, public_version, changed_at, published_at, public_changed_at)
SELECT 'case-' || lpad(i::text, 7, '0'), CASE WHEN i <= $own THEN 'draft' ELSE 'published' END, 1,
    CASE WHEN i > $own THEN 1 END, m, CASE WHEN i > $own THEN m END, CASE WHEN i > $own THEN m END
FROM generate_series(1, $n) i, LATERAL (SELECT '2026-11-24Z'::timestamptz + i * interval '1 s' AS m) t;
INSERT INTO publication_version (publication, version, title, summary, body, topics, editor, drafted_at, published_at)
SELECT 'case-' || lpad(i::text, 7, '0'), 1, 'title', 'summary', repeat('x', 300),
    ARRAY[CASE WHEN i <= 2 * $own THEN 'rare' ELSE 'roads' END], 'me', '2026-11-24Z',
    CASE WHEN i > $own THEN '2026-11-24Z'::timestamptz + i * interval '1 s' END
FROM generate_series(1, $n) i;
INSERT INTO publication_topic SELECT publication, unnest(topics), published_at FROM publication_version
WHERE published_at IS NOT NULL;
INSERT INTO topic_change SELECT 't-' || i, '2026-11-24Z' FROM generate_series(1, $n) i;
INSERT INTO topic_change VALUES ('rare', '2026-11-24Z');
INSERT INTO subscription (id, lane, state, topics, language, address_hash, address, wrapped_key, asked_at)
SELECT 'case-' || lpad(i::text, 7, '0'), CASE WHEN i % 2 = 0 THEN 'email' ELSE 'webhook' END,
    CASE WHEN i <= $own THEN 'pending' WHEN i % 2 = 0 THEN 'ended' ELSE 'active' END,
    ARRAY[CASE WHEN i > $n - $own THEN 'rare' ELSE 'roads' END], 'zh', convert_to('h-' || i, 'UTF8'), 'a', 'k', '2026-11-24Z'
FROM generate_series(1, $n) i;
INSERT INTO contact (inquiry, wanted, stated, number, language, address, wrapped_key)
SELECT 'case-' || lpad(i::text, 7, '0'), true, true, 'n-' || i, 'zh', 'a', 'k' FROM generate_series(1, $n) i;
INSERT INTO early_step SELECT 'case-' || lpad(i::text, 7, '0'), 'c-' || i, 'signed', '2026-11-24Z'
FROM generate_series(1, $n) i;
-- One push to half of all, which stands; notices, of which those of other cases wait for their contact.
INSERT INTO delivery (id, kind, lane, bulk, subject, recipient, version, at, state, due_at)
SELECT 'd-' || lpad(i::text, 7, '0'), CASE WHEN i % 2 = 0 THEN 'publication' ELSE 'notice' END,
    CASE WHEN i % 3 = 0 THEN 'email' ELSE 'webhook' END, i % 2 = 0,
    CASE WHEN i % 2 = 0 AND i > 2 * $own THEN 'push' ELSE 'case-' || lpad(i::text, 7, '0') END,
    'case-' || lpad(i::text, 7, '0'), CASE WHEN i % 2 = 0 THEN 1 END, '2026-11-24Z',
    CASE WHEN i <= $own THEN 'sending' WHEN i % 2 = 0 THEN 'pending' ELSE 'waiting' END,
    '2026-11-24Z'::timestamptz + i * interval '1 s'
FROM generate_series(1, $n) i;
INSERT INTO push_batch SELECT 'case-' || lpad(i::text, 7, '0'), 1, '2026-11-24Z', NULL FROM generate_series(1, $n) i;
ANALYZE;
