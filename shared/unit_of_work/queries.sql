-- name: lock_aggregates
-- One statement in id order, which locks existing rows and creates missing ones, so that there are no deadlocks.
INSERT INTO aggregate (id) SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS a (id, n) ORDER BY n
ON CONFLICT (id) DO UPDATE SET sequences = aggregate.sequences WHERE false;

-- name: read_sequences
SELECT id, sequences, erased FROM aggregate WHERE id = ANY ($1::text[]);

-- name: insert_aggregates
-- Fails if one exists: a new id must be unused.
INSERT INTO aggregate (id, sequences)
SELECT id, sequences FROM unnest($1::text[], $2::jsonb[]) WITH ORDINALITY AS a (id, sequences, n) ORDER BY n;

-- name: update_sequences
UPDATE aggregate SET sequences = u.sequences
FROM unnest($1::text[], $2::jsonb[]) AS u (id, sequences) WHERE aggregate.id = u.id;

-- name: insert_outbox
INSERT INTO outbox (topic, key, value, words, delivery)
SELECT topic, key, value, words, delivery
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

-- name: due_timers
-- Without a lock: the aggregates are locked first, then the rows are claimed. A deadline check (column `judges`)
-- does not fire while an event of the aggregate is parked or a dead letter: it may be the act that was in time.
SELECT aggregate, kind FROM timer t
WHERE fires_at <= $1 AND kind = ANY ($4::text[])
    AND (NOT judges OR ($2 AND NOT EXISTS (SELECT FROM parked_key p WHERE p.key = t.aggregate)))
ORDER BY fires_at, due LIMIT $3;

-- name: claim_timers
SELECT t.aggregate, t.kind, t.due, t.data, t.attempts
FROM timer t JOIN unnest($1::text[], $2::text[]) AS c (aggregate, kind) USING (aggregate, kind)
WHERE t.fires_at <= $3 AND (NOT t.judges OR NOT EXISTS (SELECT FROM parked_key p WHERE p.key = t.aggregate))
FOR UPDATE OF t SKIP LOCKED;

-- name: timer_attempts
SELECT attempts FROM timer WHERE aggregate = $1 AND kind = $2;

-- name: postpone_timer
UPDATE timer SET fires_at = $3, attempts = attempts + 1 WHERE aggregate = $1 AND kind = $2;

-- name: insert_seen_events
-- In machine time, since Kafka's retention, which bounds redelivery, follows it. Fails if a row exists: then
-- another transaction has applied the action, and committing would apply it twice.
INSERT INTO seen_event (source, id, seen_at) SELECT source, id, $3 FROM unnest($1::text[], $2::text[]) AS s (source, id);

-- name: prune_seen_events
DELETE FROM seen_event WHERE seen_at < $1;

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
DELETE FROM idempotency_key WHERE expires_at < $1;

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
