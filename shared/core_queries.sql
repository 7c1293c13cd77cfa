-- name: lock_aggregates
-- One statement in id order: locks what exists and makes what does not, so no two holders can wait for each other.
INSERT INTO aggregate (id) SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS a (id, n) ORDER BY n
ON CONFLICT (id) DO UPDATE SET sequences = aggregate.sequences WHERE false;

-- name: read_sequences
SELECT id, sequences, erased FROM aggregate WHERE id = ANY ($1::text[]);

-- name: insert_aggregates
-- Fails if one exists: an id that exists already from elsewhere is refused.
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

-- name: arm_timers
INSERT INTO timer (aggregate, kind, due, fires_at, judges, data)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::boolean[], $6::jsonb[])
ON CONFLICT (aggregate, kind) DO UPDATE
SET due = excluded.due, fires_at = excluded.fires_at, judges = excluded.judges, data = excluded.data, attempts = 0;

-- name: disarm_timers
DELETE FROM timer USING unnest($1::text[], $2::text[]) AS d (aggregate, kind)
WHERE timer.aggregate = d.aggregate AND timer.kind = d.kind;

-- name: due_timers
-- Read without a lock: the aggregates come first, and the rows are claimed after them. Nothing is judged while
-- an event of the aggregate is parked, or dead and waits for an operator: it may be the act that was in time.
SELECT aggregate, kind FROM timer t
WHERE fires_at <= $1 AND kind = ANY ($4::text[])
    AND (NOT judges OR ($2 AND NOT EXISTS (SELECT FROM parked_key p WHERE p.key = t.aggregate)))
ORDER BY fires_at, due LIMIT $3;

-- name: claim_timers
SELECT t.aggregate, t.kind, t.due, t.data, t.attempts
FROM timer t JOIN unnest($1::text[], $2::text[]) AS c (aggregate, kind) USING (aggregate, kind)
WHERE t.fires_at <= $3 AND (NOT t.judges OR NOT EXISTS (SELECT FROM parked_key p WHERE p.key = t.aggregate))
FOR UPDATE OF t SKIP LOCKED;

-- name: postpone_timer
UPDATE timer SET fires_at = $3, attempts = attempts + 1 WHERE aggregate = $1 AND kind = $2;

-- name: start_cursor
INSERT INTO cursor (consumer, topic, partition, next_offset) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: lock_cursor
SELECT next_offset FROM cursor WHERE consumer = $1 AND topic = $2 AND partition = $3 FOR UPDATE;

-- name: advance_cursor
UPDATE cursor SET next_offset = $4 WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: read_cursors
SELECT topic, partition, next_offset FROM cursor WHERE consumer = $1;

-- name: first_parked_offset
SELECT min("offset") FROM parked_event WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: move_parked_events
-- Below all of them, so that no two meet on the way and what is read anew has its own offsets.
UPDATE parked_event SET "offset" = "offset" - $4 WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: move_dead_letters
UPDATE dead_letter SET "offset" = "offset" - $4
WHERE consumer = $1 AND topic = $2 AND partition = $3 AND resolution IS NULL;

-- name: seen_events
SELECT source, id FROM seen_event JOIN unnest($1::text[], $2::text[]) AS s (source, id) USING (source, id);

-- name: insert_seen_events
-- In machine time, for what may be delivered again grows old by Kafka's clock. Fails if one is there: another
-- transaction has applied it, and to go on would be to apply it twice.
INSERT INTO seen_event (source, id, seen_at) SELECT source, id, $3 FROM unnest($1::text[], $2::text[]) AS s (source, id);

-- name: prune_seen_events
DELETE FROM seen_event WHERE seen_at < $1;

-- name: lock_parked_keys
-- The slice's own keys and no others: a key that waits, or is dead, holds nobody else up.
SELECT key FROM parked_key WHERE consumer = $1 AND topic = $2 AND key = ANY ($3::text[]) ORDER BY key FOR UPDATE;

-- name: park_key
INSERT INTO parked_key (consumer, topic, key, error, attempts, next_attempt, dead) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: park_event
INSERT INTO parked_event (consumer, topic, key, partition, "offset", appended_ms, record_key, value, words)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: insert_dead_letter
INSERT INTO dead_letter (consumer, topic, partition, "offset", appended_ms, key, event_type, record_key, value, words,
                         error, detail, attempts, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id;

-- name: due_parked_keys
SELECT topic, key FROM parked_key
WHERE consumer = $1 AND NOT dead AND next_attempt <= $2 ORDER BY next_attempt LIMIT 50;

-- name: claim_parked_key
-- Waits for a slice that holds it, or a key with many events would never be tried. What another copy has just
-- tried is not due any more.
SELECT attempts FROM parked_key
WHERE consumer = $1 AND topic = $2 AND key = $3 AND NOT dead AND next_attempt <= $4 FOR UPDATE;

-- name: parked_events
SELECT partition, "offset", appended_ms, record_key, value, words FROM parked_event
WHERE consumer = $1 AND topic = $2 AND key = $3 ORDER BY partition, "offset" LIMIT 100;

-- name: delete_parked_events
DELETE FROM parked_event WHERE consumer = $1 AND topic = $2 AND key = $3 AND partition = $4 AND "offset" <= $5;

-- name: free_key_if_empty
DELETE FROM parked_key k WHERE consumer = $1 AND topic = $2 AND key = $3
    AND NOT EXISTS (SELECT FROM parked_event e WHERE e.consumer = $1 AND e.topic = $2 AND e.key = $3);

-- name: try_key_again_at
UPDATE parked_key SET attempts = $4, next_attempt = $5, error = $6, dead = $7
WHERE consumer = $1 AND topic = $2 AND key = $3;

-- name: count_parked
SELECT (SELECT count(*) FROM parked_key WHERE consumer = $1) AS keys,
       (SELECT count(*) FROM dead_letter WHERE consumer = $1 AND resolution IS NULL) AS dead;

-- name: live_relays
-- Those that hold a lock together, the asking one among them.
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: take_wave
-- Ids grow in commit order per key; a shard has one owner; so a key's rows are sent in order. Long texts are
-- not even read beyond $3 bytes, but for the first row (measured: half a microsecond a row for the sum).
SELECT id, shard, topic, key, value, words, delivery FROM (
    SELECT *, sum(octet_length(value) + coalesce(octet_length(words), 0))
        OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM outbox WHERE shard = ANY ($1::smallint[]) ORDER BY id LIMIT $2
) o WHERE bytes - octet_length(value) - coalesce(octet_length(words), 0) < $3;

-- name: delete_sent
DELETE FROM outbox o USING unnest($1::smallint[], $2::bigint[]) AS d (shard, id)
WHERE o.shard = d.shard AND o.id = d.id;

-- name: set_aside
WITH moved AS (
    DELETE FROM outbox WHERE shard = ANY ($1::smallint[]) AND topic = ANY ($2::text[])
    RETURNING id, shard, topic, key, value, words, delivery
), kept AS (
    INSERT INTO outbox_aside (id, shard, topic, key, value, words, delivery) SELECT * FROM moved RETURNING topic
)
SELECT topic, count(*) AS n FROM kept GROUP BY topic;

-- name: aside_topics
SELECT topic, count(*) AS n FROM outbox_aside WHERE shard = ANY ($1::smallint[]) GROUP BY topic;

-- name: take_aside
SELECT id, shard, topic, key, value, words, delivery FROM (
    SELECT *, sum(octet_length(value) + coalesce(octet_length(words), 0))
        OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM outbox_aside WHERE shard = ANY ($1::smallint[]) AND topic = $2 ORDER BY id LIMIT $3
) o WHERE bytes - octet_length(value) - coalesce(octet_length(words), 0) < $4;

-- name: delete_aside
DELETE FROM outbox_aside o USING unnest($1::smallint[], $2::bigint[]) AS d (shard, id)
WHERE o.shard = d.shard AND o.id = d.id AND o.topic = $3;

-- name: keep_policy_version
INSERT INTO policy_version (version, content) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: read_policy_versions
SELECT content FROM policy_version WHERE version = ANY ($1::text[]);

-- name: read_epoch
SELECT epoch FROM epoch;

-- name: claim_idempotency_key
-- A second request with the key waits here for the first one's transaction.
INSERT INTO idempotency_key (scope, key, body_hash, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (scope, key) DO NOTHING RETURNING true;

-- name: read_idempotency_key
SELECT body_hash, status, response FROM idempotency_key WHERE scope = $1 AND key = $2;

-- name: answer_idempotency_key
UPDATE idempotency_key SET status = $3, response = $4 WHERE scope = $1 AND key = $2;

-- name: claim_idempotency_keys
-- In order of the keys, so that two copies which claim the same ones cannot wait for each other.
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

-- name: list_dead_letters
-- Oldest first: an operator works from the beginning, since a key waits behind its first one.
SELECT id, consumer, topic, partition, "offset", key, event_type, error, detail, attempts, recorded_at,
       resolution, resolved_by, reason, erased,
       (SELECT count(*) FROM parked_event p
        WHERE (p.consumer, p.topic, p.key) = (d.consumer, d.topic, d.key)) AS waiting
FROM dead_letter d WHERE resolution IS NULL OR $1 ORDER BY id LIMIT $2;

-- name: read_dead_letter
SELECT value, words, erased FROM dead_letter WHERE id = $1;

-- name: place_of_dead_letter
-- Without a lock: the parked key and the aggregate come first, as in the loops.
SELECT consumer, topic, partition, key FROM dead_letter WHERE id = $1;

-- name: lock_dead_letter
SELECT id, consumer, topic, partition, "offset", appended_ms, key, record_key, value, words, resolution
FROM dead_letter WHERE id = $1 FOR UPDATE;

-- name: lock_dead_key
SELECT true FROM parked_key WHERE consumer = $1 AND topic = $2 AND key = $3 AND dead FOR UPDATE;

-- name: head_of_key
SELECT partition, "offset" FROM parked_event WHERE consumer = $1 AND topic = $2 AND key = $3
ORDER BY partition, "offset" LIMIT 1;

-- name: free_dead_key
UPDATE parked_key SET dead = false, attempts = 0, next_attempt = $4 WHERE consumer = $1 AND topic = $2 AND key = $3;

-- name: resolve_dead_letter
-- Nobody needs the words any more; of the value what `shared.unit_of_work.erasure` leaves.
UPDATE dead_letter SET resolution = $2, resolved_by = $3, reason = $4, value = $5, words = NULL, erased = true
WHERE id = $1;

-- name: mark_erased
UPDATE aggregate SET erased = true WHERE id = ANY ($1::text[]) AND NOT erased;

-- name: lock_outbox_of
-- In id order, as the relay deletes: neither can wait for the other in a circle.
SELECT ctid::text AS place, topic, value FROM outbox WHERE key = ANY ($1::text[]) ORDER BY id FOR UPDATE;

-- name: erase_outbox
UPDATE outbox o SET value = e.value, words = NULL
FROM unnest($1::text[], $2::bytea[]) AS e (place, value) WHERE o.ctid = e.place::tid;

-- name: lock_aside_of
SELECT ctid::text AS place, topic, value FROM outbox_aside WHERE key = ANY ($1::text[]) ORDER BY id FOR UPDATE;

-- name: erase_aside
UPDATE outbox_aside o SET value = e.value, words = NULL
FROM unnest($1::text[], $2::bytea[]) AS e (place, value) WHERE o.ctid = e.place::tid;

-- name: lock_parked_of
SELECT ctid::text AS place, topic, value FROM parked_event WHERE key = ANY ($1::text[]) FOR UPDATE;

-- name: erase_parked
UPDATE parked_event p SET value = e.value, words = NULL
FROM unnest($1::text[], $2::bytea[]) AS e (place, value) WHERE p.ctid = e.place::tid;

-- name: lock_dead_letters_of
-- Bytes that tell no key may still have been sent under one.
SELECT ctid::text AS place, topic, value, key FROM dead_letter
WHERE key = ANY ($1::text[]) OR (key IS NULL AND record_key = ANY ($2::bytea[])) ORDER BY id FOR UPDATE;

-- name: erase_dead_letters
-- The detail is what an error said, and some errors quote what they were given.
UPDATE dead_letter d SET value = e.value, words = NULL, detail = '', erased = true
FROM unnest($1::text[], $2::bytea[]) AS e (place, value) WHERE d.ctid = e.place::tid;

-- name: count_outbox
SELECT topic, count(*) FILTER (WHERE NOT aside) AS waiting, count(*) FILTER (WHERE aside) AS set_aside
FROM (SELECT topic, false AS aside FROM outbox UNION ALL SELECT topic, true FROM outbox_aside) o
GROUP BY topic ORDER BY topic;
