-- The code's words for older names here: table stray_action = OrphanAction; column placement = dispatch_state;
-- column inquiry = a case's id; table and column names stay as they were migrated.

-- name: case_files
-- In the order of domain/case_file.py: CaseFile, with the proposal's columns apart.
SELECT id, phase, number, kind, service_code, area, visibility, urgent, hint, notify, received_at, reply_due,
       reply_day_count, cycle, policy_version, jurisdiction, placement AS dispatch_state, attempt, lead, rule, triage_reason,
       triaged_at, sign_due, proposal, proposal_unit, proposal_action, proposal_by_topic, reply_refused
FROM case_file WHERE id = ANY ($1::text[]);

-- name: assignments
SELECT inquiry, unit, role, state, attempt, offered_at, signed_at, ended_at, reason, note, refused_on, refusals
FROM assignment WHERE inquiry = ANY ($1::text[]) ORDER BY inquiry, attempt, role DESC, unit;

-- name: words
SELECT id, words FROM case_file WHERE id = ANY ($1::text[]) AND words IS NOT NULL;

-- name: save_case_files
-- Only inquiry.received brings words, so null leaves them as they are; an erasure deletes them for good.
INSERT INTO case_file (id, phase, number, kind, service_code, area, visibility, urgent, hint, notify,
    received_at, reply_due, reply_day_count, cycle, policy_version, jurisdiction,
    placement, attempt, lead, rule, triage_reason, triaged_at, sign_due,
    proposal, proposal_unit, proposal_action, proposal_by_topic, reply_refused, words)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[],
    $9::text[], $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::integer[], $15::text[], $16::text[],
    $17::text[], $18::integer[], $19::text[], $20::text[], $21::text[], $22::timestamptz[], $23::timestamptz[], $24::text[],
    $25::text[], $26::text[], $27::boolean[], $28::text[], $29::jsonb[])
ON CONFLICT (id) DO UPDATE SET
    phase = excluded.phase, number = excluded.number, kind = excluded.kind, service_code = excluded.service_code,
    area = excluded.area, visibility = excluded.visibility, urgent = excluded.urgent, hint = excluded.hint,
    notify = excluded.notify, received_at = excluded.received_at, reply_due = excluded.reply_due,
    reply_day_count = excluded.reply_day_count, cycle = excluded.cycle,
    policy_version = excluded.policy_version, jurisdiction = excluded.jurisdiction, placement = excluded.placement,
    attempt = excluded.attempt, lead = excluded.lead, rule = excluded.rule, triage_reason = excluded.triage_reason,
    triaged_at = excluded.triaged_at, sign_due = excluded.sign_due, proposal = excluded.proposal,
    proposal_unit = excluded.proposal_unit, proposal_action = excluded.proposal_action,
    proposal_by_topic = excluded.proposal_by_topic, reply_refused = excluded.reply_refused,
    words = CASE WHEN excluded.phase = 'erased' THEN NULL ELSE COALESCE(excluded.words, case_file.words) END;

-- name: save_assignments
INSERT INTO assignment (inquiry, unit, role, state, attempt, offered_at, signed_at, ended_at, reason, note,
    refused_on, refusals, reply_due)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::timestamptz[],
    $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::date[], $12::integer[], $13::timestamptz[])
ON CONFLICT (inquiry, unit) DO UPDATE SET
    role = excluded.role, state = excluded.state, attempt = excluded.attempt, offered_at = excluded.offered_at,
    signed_at = excluded.signed_at, ended_at = excluded.ended_at, reason = excluded.reason, note = excluded.note,
    refused_on = excluded.refused_on, refusals = excluded.refusals, reply_due = excluded.reply_due;

-- name: add_orphan_actions
INSERT INTO stray_action (unit, action, rule, detail, received_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]);

-- name: take_orphan_actions
WITH taken AS (DELETE FROM stray_action WHERE unit = ANY ($1::text[]) RETURNING *)
SELECT unit, action, rule, detail, received_at FROM taken ORDER BY number;

-- name: desk_open
-- A unit's live cases by due time: those in state $7, or without one all that wait for the unit.
SELECT c.id, c.number, c.kind, c.service_code, c.area, c.visibility, c.urgent, c.state, c.reply_due, c.reply_day_count,
       c.sign_due, c.policy_version, c.lead, c.words ->> 'title' AS title, c.proposal IS NOT NULL AS reply_pending,
       c.reply_refused, a.role, a.state AS assignment
FROM assignment a JOIN case_file c ON c.id = a.inquiry
WHERE a.unit = $1 AND (a.reply_due, a.inquiry) > ($2, $3) AND a.state IN ('offered', 'signed')
  AND CASE WHEN $7::text IS NULL THEN c.state <> 'replied' ELSE c.state = $7 END
  AND ($4::text IS NULL OR c.number = $5 OR strpos(lower(c.words ->> 'title'), lower($4)) > 0)
ORDER BY a.reply_due, a.inquiry LIMIT $6;

-- name: desk_closed
SELECT c.id, c.number, c.kind, c.service_code, c.area, c.visibility, c.urgent, c.state, c.reply_due, c.reply_day_count,
       c.sign_due, c.policy_version, c.lead, c.words ->> 'title' AS title, c.proposal IS NOT NULL AS reply_pending,
       c.reply_refused, a.role, a.state AS assignment
FROM assignment a JOIN case_file c ON c.id = a.inquiry
WHERE a.unit = $1 AND (a.reply_due, a.inquiry) > ($2, $3) AND a.state = 'done'
  AND ($4::text IS NULL OR c.number = $5 OR strpos(lower(c.words ->> 'title'), lower($4)) > 0)
ORDER BY a.reply_due, a.inquiry LIMIT $6;

-- name: has_cases
-- Each half is one index look-up.
SELECT EXISTS (SELECT FROM assignment WHERE unit = $1 AND state IN ('offered', 'signed'))
    OR EXISTS (SELECT FROM assignment WHERE unit = $1 AND state = 'done');

-- name: triage_queue
SELECT id, number, kind, service_code, area, visibility, urgent, reply_due, reply_day_count, policy_version,
       hint, triage_reason, triaged_at, attempt, words ->> 'title' AS title
FROM case_file WHERE state = 'triage' AND (triaged_at, id) > ($1, $2) ORDER BY triaged_at, id LIMIT $3;

-- name: count_triage
SELECT count(*) FROM case_file WHERE state = 'triage';

-- name: reply_is_pending
SELECT proposal IS NOT NULL FROM case_file WHERE id = $1;
