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

-- name: first_parked_offset
SELECT min("offset") FROM parked_event WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: move_parked_events
-- Below all others, so that no two rows collide during the update and records read again keep their offsets.
UPDATE parked_event SET "offset" = "offset" - $4 WHERE consumer = $1 AND topic = $2 AND partition = $3;

-- name: move_dead_letters
UPDATE dead_letter SET "offset" = "offset" - $4
WHERE consumer = $1 AND topic = $2 AND partition = $3 AND resolution IS NULL;

-- name: seen_events
SELECT source, id FROM seen_event JOIN unnest($1::text[], $2::text[]) AS s (source, id) USING (source, id);

-- name: lock_parked_keys
-- Only the keys of this batch: a parked or dead key must not block batches that do not contain it.
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
-- Waits for a partition batch that holds the key: skipping it would starve a key with many events. After the
-- wait a key that another replica has just retried is no longer due.
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

-- name: list_dead_letters
-- Oldest first: a key waits behind its first dead letter.
SELECT id, consumer, topic, partition, "offset", key, event_type, error, detail, attempts, recorded_at,
       resolution, resolved_by, reason, erased,
       (SELECT count(*) FROM parked_event p
        WHERE (p.consumer, p.topic, p.key) = (d.consumer, d.topic, d.key)) AS waiting
FROM dead_letter d WHERE resolution IS NULL OR $1 ORDER BY id LIMIT $2;

-- name: read_dead_letter
SELECT value, words, erased FROM dead_letter WHERE id = $1;

-- name: key_of_dead_letter
-- Without a lock: the parked key and the aggregate are locked first, as in the loops.
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
-- The words are no longer needed; $5 is the value after `shared.unit_of_work.erasure.bytes_to_keep`.
UPDATE dead_letter SET resolution = $2, resolved_by = $3, reason = $4, value = $5, words = NULL, erased = true
WHERE id = $1;
