-- Large tables of routing: as in harness/piles.sql.
INSERT INTO case_file (id, phase, number, kind, service_code, visibility, urgent, notify, received_at, reply_due, cycle,
    words, placement, attempt, lead, triaged_at)
SELECT 'case-' || lpad(i::text, 7, '0'), 'open', 'n-' || i, 'help', 'street-light', 'public', false, false,
    '2026-11-24Z', '2026-11-24Z'::timestamptz + i * interval '1 s', 1, '{"title": "light"}',
    CASE WHEN i <= 10 * $own THEN 'triage' ELSE 'dispatched' END, 1, 'other', '2026-11-24Z'::timestamptz + i * interval '1 s'
FROM generate_series(1, $n) i;
INSERT INTO assignment (inquiry, unit, role, state, attempt, offered_at, reply_due)
SELECT 'case-' || lpad(i::text, 7, '0'), CASE WHEN i <= 2 * $own THEN 'water' ELSE 'other-' || i % 50 END, 'lead',
    CASE WHEN i % 2 = 0 THEN 'offered' ELSE 'done' END, 1, '2026-11-24Z', '2026-11-24Z'::timestamptz + i * interval '1 s'
FROM generate_series(1, $n) i;
INSERT INTO stray_action (unit, action, rule, received_at)
SELECT CASE WHEN i <= $own THEN 'water' ELSE 'other-' || i % 50 END, 'a-' || i, 'unknown_case', '2026-11-24Z'
FROM generate_series(1, $n) i;
ANALYZE;
