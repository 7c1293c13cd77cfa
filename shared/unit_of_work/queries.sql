-- name: lock_aggregates
-- One statement in id order, which locks existing rows and creates missing ones, so that there are no deadlocks.
INSERT INTO aggregate (id) SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS a (id, n) ORDER BY n
ON CONFLICT (id) DO UPDATE SET sequences = aggregate.sequences WHERE false;

-- name: make_aggregates
INSERT INTO aggregate (id) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING;

-- name: make_aggregates_of_timers
-- An older release beside this one schedules timers of aggregates without a row, which `lock_due` would not find.
INSERT INTO aggregate (id) SELECT DISTINCT aggregate FROM timer t
WHERE NOT EXISTS (SELECT FROM aggregate a WHERE a.id = t.aggregate) ON CONFLICT DO NOTHING;

-- name: read_sequences
SELECT id, sequences, erased FROM aggregate WHERE id = ANY ($1::text[]);

-- name: emitted_ordinals
-- The last ordinal that a source has emitted, subject by subject.
SELECT id, (sequences ->> $1)::bigint AS ordinal FROM aggregate
WHERE id > $2 AND sequences ? $1 ORDER BY id LIMIT $3;

-- name: waiting_values
-- What is not sent yet on a topic; the table outbox_aside holds the rows of paused topics.
SELECT value FROM outbox WHERE topic = $1 UNION ALL SELECT value FROM outbox_aside WHERE topic = $1;

-- name: insert_aggregates
-- Fails if one exists: a new id must be unused.
INSERT INTO aggregate (id, sequences)
SELECT id, sequences FROM unnest($1::text[], $2::jsonb[]) WITH ORDINALITY AS a (id, sequences, n) ORDER BY n;

-- name: update_sequences
UPDATE aggregate SET sequences = u.sequences
FROM unnest($1::text[], $2::jsonb[]) AS u (id, sequences) WHERE aggregate.id = u.id;

-- name: insert_outbox
-- $6 is machine time: how long an event waits for its relay is no matter of rules.
INSERT INTO outbox (topic, key, value, words, delivery, written_at)
SELECT topic, key, value, words, delivery, $6
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::jsonb[])
    WITH ORDINALITY AS o (topic, key, value, words, delivery, n) ORDER BY n;

-- name: schedule_timers
INSERT INTO timer (aggregate, kind, due, fires_at, judges, data)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::boolean[], $6::jsonb[])
ON CONFLICT (aggregate, kind) DO UPDATE
SET due = excluded.due, fires_at = excluded.fires_at, judges = excluded.judges, data = excluded.data, attempts = 0;

-- name: cancel_timers
DELETE FROM timer USING unnest($1::text[], $2::text[]) AS d (aggregate, kind)
WHERE timer.aggregate = d.aggregate AND timer.kind = d.kind;

-- name: insert_expectations
-- What is expected already keeps its age; what was given up stays so.
INSERT INTO expectation (subject, kind, party, since)
SELECT subject, kind, party, $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS e (subject, kind, party)
ON CONFLICT DO NOTHING;

-- name: delete_expectations
-- The table has no statistics, and the index by age begins with `kind`: the relay's plans took that one and read for each
-- row all that waits of its kind. What is compared with an empty text added is no search.
DELETE FROM expectation e USING unnest($1::text[], $2::text[], $3::text[]) AS d (subject, kind, party)
WHERE e.subject = d.subject AND e.party = d.party AND e.kind || '' = d.kind;

-- name: forget_expectations
DELETE FROM expectation WHERE subject = ANY ($1::text[]);

-- name: list_unanswered
SELECT subject, kind, party, since FROM unnest($3::text[]) AS k (expected) CROSS JOIN LATERAL (
    SELECT * FROM expectation WHERE kind = expected AND since < $1 AND ended_at IS NULL ORDER BY since LIMIT $2
) e ORDER BY since LIMIT $2;

-- name: count_unanswered
-- Every 15 seconds, so it looks at 10,000 of each kind and no further, like count_parked; rows alone are counted in the
-- index. A case that several units keep waiting counts once: only there the rows themselves are read and compared.
SELECT expected AS kind, rows = 10000 AS or_more,
       CASE expected WHEN 'delivery' THEN (
           SELECT count(*) FROM (
               SELECT FROM (
                   SELECT subject FROM expectation
                   WHERE kind = expected AND since < $1 AND ended_at IS NULL ORDER BY since LIMIT 10000
               ) e GROUP BY subject
           ) c
       ) ELSE rows END AS cases
FROM unnest($2::text[]) AS k (expected) CROSS JOIN LATERAL (
    SELECT count(*) AS rows FROM (
        SELECT FROM expectation WHERE kind = expected AND since < $1 AND ended_at IS NULL ORDER BY since LIMIT 10000
    ) e
) t;

-- name: list_waits
-- So many cases from one on, each with all that it has waited for since before a moment; if $3, also what was given up.
SELECT subject, kind, party, since, ended_at FROM expectation
WHERE since < $2 AND (ended_at IS NULL OR $3) AND subject IN (
    SELECT DISTINCT subject FROM expectation
    WHERE subject > $1 AND since < $2 AND (ended_at IS NULL OR $3) ORDER BY subject LIMIT $4
) ORDER BY subject, kind, party;

-- name: waiting_between
SELECT DISTINCT subject FROM expectation WHERE subject >= $1 AND subject < $2;

-- name: mark_ended
UPDATE expectation SET ended_at = $4
WHERE subject = $1 AND kind || '' = $2 AND party = $3 AND ended_at IS NULL RETURNING since;

-- name: end_wait
DELETE FROM expectation WHERE subject = $1 AND kind || '' = $2 AND party = $3 RETURNING since;

-- name: count_waiting
-- The table outbox_aside holds the rows of paused topics.
SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM outbox_aside), (SELECT count(*) FROM parked_key),
       (SELECT count(*) FROM dead_letter WHERE resolution IS NULL);

-- name: lock_due
-- Locks the aggregates of due timers, earliest first, and not the timers: the lock order is the same everywhere. What
-- another replica or a partition batch holds is skipped, so replicas share the work and a held case delays no other.
SELECT a.id FROM timer t JOIN aggregate a ON a.id = t.aggregate
WHERE NOT t.judges AND t.fires_at <= $1 AND t.kind = ANY ($2::text[])
ORDER BY t.fires_at, t.due LIMIT $3 FOR NO KEY UPDATE OF a SKIP LOCKED;

-- name: lock_due_checks
-- The same for deadline checks (column `judges`), which do not fire while an event of the aggregate is parked or a dead
-- letter: it may be the act that was in time. OFFSET 0 keeps that a look-up per row; as a join it would read them all.
SELECT a.id FROM timer t JOIN aggregate a ON a.id = t.aggregate
WHERE t.judges AND t.fires_at <= $1 AND t.kind = ANY ($2::text[])
    AND NOT EXISTS (SELECT FROM parked_key p WHERE p.key = t.aggregate OFFSET 0)
ORDER BY t.fires_at, t.due LIMIT $3 FOR NO KEY UPDATE OF a SKIP LOCKED;

-- name: claim_timers
-- Of aggregates that are locked: what was scheduled or parked before the lock counts. The earliest timer of each, since
-- it may cancel the next: that keeps the order when the clock jumps. Backoff after a fault moves `fires_at` alone, so
-- `due` is asked as well.
SELECT DISTINCT ON (aggregate) aggregate, kind, due, fires_at, data, attempts FROM timer t
WHERE aggregate = ANY ($1::text[]) AND kind = ANY ($2::text[]) AND fires_at <= $3 AND due <= $3
    AND (NOT judges OR ($4 AND NOT EXISTS (SELECT FROM parked_key p WHERE p.key = t.aggregate OFFSET 0)))
ORDER BY aggregate, fires_at, due;

-- name: postpone_timer
-- Only what was claimed: a timer that was scheduled again meanwhile keeps its own moment.
UPDATE timer SET fires_at = $4, attempts = attempts + 1 WHERE aggregate = $1 AND kind = $2 AND fires_at = $3;

-- name: insert_seen_events
-- In machine time, since Kafka's retention, which bounds redelivery, follows it. Fails if a row exists: then
-- another transaction has applied the action, and committing would apply it twice.
INSERT INTO seen_event (source, id, seen_at) SELECT source, id, $3 FROM unnest($1::text[], $2::text[]) AS s (source, id);

-- name: prune_seen_events
-- The oldest $2 of them: the caller repeats it, so that no statement is long.
DELETE FROM seen_event WHERE ctid = ANY (ARRAY(SELECT ctid FROM seen_event WHERE seen_at < $1 ORDER BY seen_at LIMIT $2));

-- name: read_epoch
SELECT epoch, restoring FROM epoch;

-- name: claim_idempotency_key
-- A second request with the key waits here for the first one's transaction.
INSERT INTO idempotency_key (scope, key, body_hash, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (scope, key) DO NOTHING RETURNING true;

-- name: read_idempotency_key
SELECT body_hash, status, response FROM idempotency_key WHERE scope = $1 AND key = $2;

-- name: answer_idempotency_key
UPDATE idempotency_key SET status = $3, response = $4 WHERE scope = $1 AND key = $2;

-- name: claim_idempotency_keys
-- In key order, so that two replicas that claim the same keys cannot deadlock.
WITH asked AS (
    SELECT DISTINCT ON (scope, key) scope, key, body_hash, n
    FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS a (scope, key, body_hash, n)
    ORDER BY scope, key, n
), claimed AS (
    INSERT INTO idempotency_key (scope, key, body_hash, expires_at)
    SELECT scope, key, body_hash, $4 FROM asked ORDER BY scope, key
    ON CONFLICT (scope, key) DO NOTHING RETURNING scope, key
)
SELECT asked.n FROM asked JOIN claimed USING (scope, key);

-- name: answer_idempotency_keys
UPDATE idempotency_key k SET status = a.status, response = a.response
FROM unnest($1::text[], $2::text[], $3::integer[], $4::jsonb[]) AS a (scope, key, status, response)
WHERE k.scope = a.scope AND k.key = a.key;

-- name: prune_idempotency_keys
-- The oldest $2 of them: the caller repeats it, so that no statement is long.
DELETE FROM idempotency_key
WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_key WHERE expires_at < $1 ORDER BY expires_at LIMIT $2));

-- name: mark_erased
UPDATE aggregate SET erased = true WHERE id = ANY ($1::text[]) AND NOT erased;

-- name: lock_outbox_of
-- In id order, like the relay's deletes, so that the two cannot deadlock.
SELECT ctid::text AS tid, topic, value FROM outbox WHERE key = ANY ($1::text[]) ORDER BY id FOR UPDATE;

-- name: erase_outbox
UPDATE outbox o SET value = e.value, words = NULL
FROM unnest($1::text[], $2::bytea[]) AS e (tid, value) WHERE o.ctid = e.tid::tid;

-- name: lock_paused_of
-- The rows of paused topics.
SELECT ctid::text AS tid, topic, value FROM outbox_aside WHERE key = ANY ($1::text[]) ORDER BY id FOR UPDATE;

-- name: erase_paused
UPDATE outbox_aside o SET value = e.value, words = NULL
FROM unnest($1::text[], $2::bytea[]) AS e (tid, value) WHERE o.ctid = e.tid::tid;

-- name: lock_parked_of
SELECT ctid::text AS tid, topic, value FROM parked_event WHERE key = ANY ($1::text[]) FOR UPDATE;

-- name: erase_parked
UPDATE parked_event p SET value = e.value, words = NULL
FROM unnest($1::text[], $2::bytea[]) AS e (tid, value) WHERE p.ctid = e.tid::tid;

-- name: lock_dead_letters_of
-- Bytes without a readable key may still have been sent under the subject as record key.
SELECT ctid::text AS tid, topic, value, key FROM dead_letter
WHERE key = ANY ($1::text[]) OR (key IS NULL AND record_key = ANY ($2::bytea[])) ORDER BY id FOR UPDATE;

-- name: erase_dead_letters
-- `detail` is an error message, and some errors quote their input.
UPDATE dead_letter d SET value = e.value, words = NULL, detail = '', erased = true
FROM unnest($1::text[], $2::bytea[]) AS e (tid, value) WHERE d.ctid = e.tid::tid;

-- name: probe_memory
-- So that the next statement needs pages of the disk.
SET LOCAL work_mem = '64kB';

-- name: probe_disk
-- A sort of 280 kB: its temporary file is gone with the statement. (By one column it would stay in memory.)
SELECT count(*) FROM (
    SELECT repeat(n::text, 2000) AS filling FROM generate_series(100, 140) n ORDER BY n, filling OFFSET 0
) s;

-- name: probe_journal
-- A lock that conflicts with no other probe.
SELECT epoch FROM epoch FOR KEY SHARE;
