-- name: load_cases
-- The columns that rules read.
SELECT id, stage, kind, service_code, urgent, cycle, policy_version, clock_start, due, day_zero, amount, day_count,
    breached, evaluate_until, closed_at, erased_at, holding, lead, co, attempt
FROM inquiry WHERE id = ANY ($1::text[]);

-- name: insert_cases
-- Whole rows of new cases. Their ids are new as well, so there is nothing to conflict with by id.
INSERT INTO inquiry (id, number, secret_hash, kind, service_code, area, visibility, channel, urgent,
    external_source, external_id, original_time, stage, policy_version,
    clock_start, due, day_zero, amount, day_count, created)
SELECT *, $20
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::boolean[], $10::text[], $11::text[], $12::timestamptz[], $13::text[], $14::text[],
    $15::timestamptz[], $16::timestamptz[], $17::date[], $18::integer[], $19::text[]);

-- name: insert_receipts
-- Table `received`: the event of the intake as committed, and its words.
INSERT INTO received (inquiry, value, words) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[]);

-- name: insert_contacts
INSERT INTO contact (inquiry, name, email, phone, language)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]);

-- name: find_external
-- Which rows of a source have become cases already.
SELECT i.external_source, i.external_id, i.id, i.number, r.value
FROM unnest($1::text[], $2::text[]) AS e (external_source, external_id)
JOIN inquiry i ON i.external_source = e.external_source AND i.external_id = e.external_id
JOIN received r ON r.inquiry = i.id;

-- name: store_holding
-- Routing's columns. Inserts the row if routing mentions the case first.
INSERT INTO inquiry (id, holding, lead, co, attempt)
SELECT id, holding, lead, string_to_array(co, ','), attempt
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[]) AS h (id, holding, lead, co, attempt)
ON CONFLICT (id) DO UPDATE
SET holding = excluded.holding, lead = excluded.lead, co = excluded.co, attempt = excluded.attempt;

-- name: store_cases
-- Inquiry's own columns.
UPDATE inquiry SET stage = c.stage, cycle = c.cycle, policy_version = c.policy_version, breached = c.breached,
    evaluate_until = c.evaluate_until, closed_at = c.closed_at, erased_at = c.erased_at,
    clock_start = c.clock_start, due = c.due, day_zero = c.day_zero, amount = c.amount, day_count = c.day_count
FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::boolean[], $6::timestamptz[],
    $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::date[], $12::integer[],
    $13::text[])
    AS c (id, stage, cycle, policy_version, breached, evaluate_until, closed_at, erased_at, clock_start, due,
        day_zero, amount, day_count)
WHERE inquiry.id = c.id;

-- name: insert_steps
INSERT INTO step (inquiry, at, kind, data, words)
SELECT inquiry, at, kind, data, words
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::jsonb[], $5::text[])
    WITH ORDINALITY AS s (inquiry, at, kind, data, words, n) ORDER BY n;

-- name: erase_words
UPDATE received SET words = NULL WHERE inquiry = $1;

-- name: erase_step_words
UPDATE step SET words = NULL WHERE inquiry = $1 AND words IS NOT NULL;

-- name: erase_contact
DELETE FROM contact WHERE inquiry = $1;

-- name: read_contact
SELECT name, email, phone, language FROM contact WHERE inquiry = $1;

-- name: contacts_of
-- With the numbers of the cases; erased cases have none.
SELECT i.id, i.number, c.name, c.email, c.phone, c.language
FROM inquiry i LEFT JOIN contact c ON c.inquiry = i.id
WHERE i.id = ANY ($1::text[]) AND i.erased_at IS NULL;

-- name: find_case
-- By id or by number.
SELECT i.*, r.value, r.words FROM inquiry i JOIN received r ON r.inquiry = i.id WHERE i.id = $1 OR i.number = $2;

-- name: read_steps
SELECT at, kind, data, words FROM step WHERE inquiry = $1 ORDER BY id;

-- name: list_cases
-- Newest first: ids grow with time. The page is taken from `received`, which has no row for a case that only routing
-- has mentioned.
SELECT i.id, i.number, i.kind, i.service_code, i.area, i.visibility, i.channel, i.urgent, i.created, i.due,
    i.stage, i.holding, i.lead, i.cycle, r.words
FROM (SELECT * FROM received WHERE inquiry < coalesce($1, '~') ORDER BY inquiry DESC LIMIT $2) r
JOIN inquiry i ON i.id = r.inquiry ORDER BY i.id DESC;

-- name: list_cases_in
-- The same for those in one state, which is an accepted case's holding and the stage of any other: as in the index
-- `inquiry_state`.
SELECT i.id, i.number, i.kind, i.service_code, i.area, i.visibility, i.channel, i.urgent, i.created, i.due,
    i.stage, i.holding, i.lead, i.cycle, r.words
FROM (SELECT * FROM inquiry
      WHERE stage <> 'unknown' AND CASE stage WHEN 'accepted' THEN holding ELSE stage END = $1 AND id < coalesce($2, '~')
      ORDER BY id DESC LIMIT $3) i
JOIN received r ON r.inquiry = i.id ORDER BY i.id DESC;

-- name: list_to_accept
-- The clerk's queue, oldest first; by the same index.
SELECT i.id, i.number, i.kind, i.service_code, i.area, i.visibility, i.channel, i.urgent, i.created, i.due,
    i.stage, i.holding, i.lead, i.cycle, r.words
FROM (SELECT * FROM inquiry
      WHERE stage <> 'unknown' AND CASE stage WHEN 'accepted' THEN holding ELSE stage END = 'received'
          AND id > coalesce($1, '')
      ORDER BY id LIMIT $2) i
JOIN received r ON r.inquiry = i.id ORDER BY i.id;

-- name: read_value
SELECT value FROM received WHERE inquiry = $1;

-- name: receipts_from
-- Ids grow with time, so these are the cases since a moment.
SELECT inquiry, value, words FROM received WHERE inquiry >= $1 AND inquiry > $2 ORDER BY inquiry LIMIT $3;
