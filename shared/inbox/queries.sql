-- name: start_cursor
INSERT INTO cursor (consumer, topic, partition, next_offset) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: lock_cursor
SELECT next_offset FROM cursor WHERE consumer = $1 AND topic = $2 AND partition = $3 FOR UPDATE;

-- name: advance_cursor
UPDATE cursor SET next_offset = $4, last_offset = $5, last_appended_ms = $6, last_digest = $7
WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: pass_offsets
-- Offsets without a record of ours: the last record that was read stays the same.
UPDATE cursor SET next_offset = $4 WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: read_cursor
SELECT next_offset, last_offset, last_appended_ms, last_digest FROM cursor
WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: has_cursors
SELECT EXISTS (SELECT FROM cursor WHERE consumer = $1);

-- name: start_cursors
INSERT INTO cursor (consumer, topic, partition, next_offset)
SELECT $1, * FROM unnest($2::text[], $3::integer[], $4::bigint[]) ON CONFLICT DO NOTHING;

-- name: record_topic_loss
INSERT INTO topic_loss (consumer, topic, partition, kind, from_offset, to_offset, found_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (consumer, topic, partition, kind) WHERE seen_at IS NULL
DO UPDATE SET to_offset = excluded.to_offset, times = topic_loss.times + 1;

-- name: list_topic_losses
SELECT id, consumer, topic, partition, kind, from_offset, to_offset, times, found_at, seen_at, seen_by
FROM topic_loss WHERE seen_at IS NULL OR $1 ORDER BY id DESC LIMIT $2;

-- name: see_topic_losses
UPDATE topic_loss SET seen_at = $2, seen_by = $3 WHERE topic = $1 AND seen_at IS NULL RETURNING id;

-- name: count_topic_losses
SELECT consumer, topic, kind, count(*) AS partitions FROM topic_loss WHERE seen_at IS NULL
GROUP BY consumer, topic, kind ORDER BY topic, consumer, kind;

-- name: read_cursors
SELECT topic, partition, next_offset FROM cursor WHERE consumer = $1;

-- name: seen_events
SELECT source, id FROM seen_event JOIN unnest($1::text[], $2::text[]) AS s (source, id) USING (source, id);

-- name: lock_parked_keys
-- Only the keys of this batch: a parked or dead key must not block batches that do not contain it.
SELECT key FROM parked_key WHERE consumer = $1 AND topic = $2 AND key = ANY ($3::text[]) ORDER BY key FOR UPDATE;

-- name: park_keys
INSERT INTO parked_key (consumer, topic, key, error, attempts, next_attempt, dead)
SELECT $1, topic, key, error, 1, $2, dead
FROM unnest($3::text[], $4::text[], $5::text[], $6::boolean[]) AS k (topic, key, error, dead);

-- name: park_events
-- In this order they arrive.
INSERT INTO parked_event (consumer, topic, key, partition, "offset", appended_ms, record_key, value, words)
SELECT $1, topic, key, partition, "offset", appended_ms, record_key, value, words
FROM unnest($2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[], $9::bytea[])
    WITH ORDINALITY AS e (topic, key, partition, "offset", appended_ms, record_key, value, words, n) ORDER BY n;

-- name: insert_dead_letters
INSERT INTO dead_letter (consumer, topic, partition, "offset", last_offset, records, appended_ms, key, event_type,
                         record_key, value, words, error, detail, attempts, recorded_at)
SELECT $1, topic, partition, "offset", last_offset, records, appended_ms, key, event_type, record_key, value, words,
       error, detail, attempts, $2
FROM unnest($3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::integer[], $8::bigint[], $9::text[], $10::text[],
            $11::bytea[], $12::bytea[], $13::bytea[], $14::text[], $15::text[], $16::integer[])
    WITH ORDINALITY AS d (topic, partition, "offset", last_offset, records, appended_ms, key, event_type, record_key,
                          value, words, error, detail, attempts, n) ORDER BY n;

-- name: due_parked_keys
SELECT topic, key FROM parked_key
WHERE consumer = $1 AND NOT dead AND next_attempt <= $2 ORDER BY next_attempt LIMIT 50;

-- name: claim_parked_key
-- Waits for a partition batch that holds the key: skipping it would starve a key with many events. After the
-- wait a key that another replica has just retried is no longer due.
SELECT attempts FROM parked_key
WHERE consumer = $1 AND topic = $2 AND key = $3 AND NOT dead AND next_attempt <= $4 FOR UPDATE;

-- name: parked_events
SELECT arrival, partition, "offset", appended_ms, record_key, value, words FROM parked_event
WHERE consumer = $1 AND topic = $2 AND key = $3 ORDER BY arrival LIMIT $4;

-- name: delete_parked_events
DELETE FROM parked_event WHERE consumer = $1 AND topic = $2 AND key = $3 AND arrival <= $4;

-- name: free_key_if_empty
DELETE FROM parked_key k WHERE consumer = $1 AND topic = $2 AND key = $3
    AND NOT EXISTS (SELECT FROM parked_event e WHERE e.consumer = $1 AND e.topic = $2 AND e.key = $3);

-- name: continue_key
-- The attempts were those of an event that is applied now.
UPDATE parked_key SET attempts = 0 WHERE consumer = $1 AND topic = $2 AND key = $3;

-- name: postpone_key
UPDATE parked_key SET next_attempt = $4 WHERE consumer = $1 AND topic = $2 AND key = $3;

-- name: try_key_again_at
UPDATE parked_key SET attempts = $4, next_attempt = $5, error = $6, dead = $7
WHERE consumer = $1 AND topic = $2 AND key = $3;

-- name: count_bad_records
-- $4 is the present moment, $6 a minute earlier. While the partition is paused its minute does not end.
INSERT INTO flood AS f (consumer, topic, partition, began_at, records) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (consumer, topic, partition) DO UPDATE SET
    began_at = CASE WHEN f.began_at > $6 OR f.paused_until > $4 THEN f.began_at ELSE $4 END,
    records = CASE WHEN f.began_at > $6 OR f.paused_until > $4 THEN f.records + $5 ELSE $5 END
RETURNING records;

-- name: start_flood
INSERT INTO flood (consumer, topic, partition, began_at, records) VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING;

-- name: lock_flood
SELECT paused_until, pauses FROM flood WHERE consumer = $1 AND topic = $2 AND partition = $3 FOR UPDATE;

-- name: pause_partition
UPDATE flood SET paused_until = $4, pauses = $5 WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: paused_partitions
SELECT consumer, topic, partition, paused_until FROM flood WHERE paused_until > $1 ORDER BY topic, partition;

-- name: resume_partitions
UPDATE flood SET paused_until = NULL, pauses = 0, began_at = $3, records = $4
WHERE topic = $1 AND paused_until > $2 RETURNING partition;

-- name: waiting_subjects
-- Which of these subjects still wait for the answer of this kind that would end the wait.
SELECT subject FROM expectation WHERE subject = ANY ($1::text[]) AND kind = $2 AND party = '';

-- name: count_parked
-- Once a second, so it counts to 10,000 and no further: an operator who sees that number needs no other.
SELECT (SELECT count(*) FROM (SELECT FROM parked_key WHERE consumer = $1 LIMIT 10000) k) AS keys,
       (SELECT count(*) FROM (SELECT FROM dead_letter WHERE consumer = $1 AND resolution IS NULL LIMIT 10000) d) AS dead;

-- name: list_dead_letters
-- Oldest first: a key waits behind its first dead letter.
SELECT id, consumer, topic, partition, "offset", key, event_type, error, detail, attempts, recorded_at,
       resolution, resolved_by, reason, erased, last_offset, records,
       (SELECT count(*) FROM parked_event p
        WHERE (p.consumer, p.topic, p.key) = (d.consumer, d.topic, d.key)) AS waiting
FROM dead_letter d WHERE (resolution IS NULL OR $1) AND id > $3 ORDER BY id LIMIT $2;

-- name: read_dead_letter
SELECT value, words, erased, topic, partition, "offset", last_offset, records FROM dead_letter WHERE id = $1;

-- name: count_dead_letters
SELECT count(*) AS letters, count(*) FILTER (WHERE key IS NULL) AS without_key FROM dead_letter
WHERE resolution IS NULL AND ($1::text IS NULL OR topic = $1) AND ($2::text IS NULL OR error = $2)
    AND ($3::timestamptz IS NULL OR recorded_at < $3);

-- name: matching_dead_letters
SELECT id FROM dead_letter
WHERE resolution IS NULL AND ($1::text IS NULL OR topic = $1) AND ($2::text IS NULL OR error = $2)
    AND ($3::timestamptz IS NULL OR recorded_at < $3) AND id > $4
ORDER BY id LIMIT 500;

-- name: keys_of_dead_letters
-- Without a lock: the parked keys and the aggregates are locked first, as in the loops.
SELECT topic, partition, key FROM dead_letter WHERE id = ANY ($1::bigint[]);

-- name: lock_dead_keys
SELECT FROM parked_key k WHERE dead AND (consumer, topic, key) IN
    (SELECT consumer, topic, key FROM dead_letter WHERE id = ANY ($1::bigint[]) AND resolution IS NULL)
ORDER BY consumer, topic, key FOR UPDATE;

-- name: lock_dead_letters
-- With the arrival number of the parked event that each is about: the first of its key, as long as the key is dead.
SELECT d.id, d.consumer, d.topic, d.partition, d."offset", d.appended_ms, d.key, d.record_key, d.value, d.words,
       d.resolution, h.arrival
FROM dead_letter d
LEFT JOIN parked_key k ON k.dead AND (k.consumer, k.topic, k.key) = (d.consumer, d.topic, d.key)
LEFT JOIN LATERAL (SELECT arrival, partition, "offset" FROM parked_event e
                   WHERE (e.consumer, e.topic, e.key) = (k.consumer, k.topic, k.key) ORDER BY arrival LIMIT 1) h
    ON (h.partition, h."offset") = (d.partition, d."offset")
WHERE d.id = ANY ($1::bigint[]) ORDER BY d.id FOR UPDATE OF d;

-- name: delete_parked_heads
DELETE FROM parked_event e
USING unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS h (consumer, topic, key, arrival)
WHERE (e.consumer, e.topic, e.key, e.arrival) = (h.consumer, h.topic, h.key, h.arrival);

-- name: delete_empty_keys
DELETE FROM parked_key k USING unnest($1::text[], $2::text[], $3::text[]) AS h (consumer, topic, key)
WHERE (k.consumer, k.topic, k.key) = (h.consumer, h.topic, h.key)
    AND NOT EXISTS (SELECT FROM parked_event e WHERE (e.consumer, e.topic, e.key) = (h.consumer, h.topic, h.key));

-- name: free_dead_keys
UPDATE parked_key k SET dead = false, attempts = 0, next_attempt = $4
FROM unnest($1::text[], $2::text[], $3::text[]) AS h (consumer, topic, key)
WHERE (k.consumer, k.topic, k.key) = (h.consumer, h.topic, h.key);

-- name: resolve_dead_letters
-- The words are no longer needed; $2 are the values after `shared.unit_of_work.erasure.bytes_to_keep`.
UPDATE dead_letter d SET resolution = $3, resolved_by = $4, reason = $5, resolved_at = $6, value = r.value, words = NULL,
    erased = true
FROM unnest($1::bigint[], $2::bytea[]) AS r (id, value) WHERE d.id = r.id;

-- name: date_resolved_letters
-- An older release beside this one does not say when it resolved a letter.
UPDATE dead_letter SET resolved_at = $1 WHERE id IN
    (SELECT id FROM dead_letter WHERE resolution IS NOT NULL AND resolved_at IS NULL LIMIT 1000);

-- name: prune_dead_letters
DELETE FROM dead_letter WHERE id IN
    (SELECT id FROM dead_letter WHERE resolution IS NOT NULL AND resolved_at < $1 ORDER BY resolved_at LIMIT 1000);
