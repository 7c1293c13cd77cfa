-- name: announce_relay
-- Every live relay holds it in shared mode, so that the relays can be counted.
SELECT pg_advisory_lock_shared($1, $2);

-- name: claim_shard
SELECT pg_try_advisory_lock($1, $2);

-- name: release_shard
SELECT pg_advisory_unlock($1, $2);

-- name: live_relays
-- Holders of the shared lock, the caller included.
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: take_batch
-- Ids grow in commit order per key and a shard has one owner, so a key's rows are sent in order. Rows beyond $3
-- bytes are not read, except the first one (measured: the sum costs half a microsecond per row).
SELECT id, shard, topic, key, value, words, delivery FROM (
    SELECT *, sum(octet_length(value) + coalesce(octet_length(words), 0))
        OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM outbox WHERE shard = ANY ($1::smallint[]) ORDER BY id LIMIT $2
) o WHERE bytes - octet_length(value) - coalesce(octet_length(words), 0) < $3;

-- name: delete_sent
DELETE FROM outbox o USING unnest($1::smallint[], $2::bigint[]) AS d (shard, id)
WHERE o.shard = d.shard AND o.id = d.id;

-- name: pause_topic_rows
-- The table outbox_aside holds the rows of paused topics.
WITH moved AS (
    DELETE FROM outbox WHERE shard = ANY ($1::smallint[]) AND topic = ANY ($2::text[])
    RETURNING id, shard, topic, key, value, words, delivery
), kept AS (
    INSERT INTO outbox_aside (id, shard, topic, key, value, words, delivery) SELECT * FROM moved RETURNING topic
)
SELECT topic, count(*) AS n FROM kept GROUP BY topic;

-- name: count_paused_rows
SELECT topic, count(*) AS n FROM outbox_aside WHERE shard = ANY ($1::smallint[]) GROUP BY topic;

-- name: take_paused_batch
SELECT id, shard, topic, key, value, words, delivery FROM (
    SELECT *, sum(octet_length(value) + coalesce(octet_length(words), 0))
        OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM outbox_aside WHERE shard = ANY ($1::smallint[]) AND topic = $2 ORDER BY id LIMIT $3
) o WHERE bytes - octet_length(value) - coalesce(octet_length(words), 0) < $4;

-- name: delete_sent_paused
DELETE FROM outbox_aside o USING unnest($1::smallint[], $2::bigint[]) AS d (shard, id)
WHERE o.shard = d.shard AND o.id = d.id AND o.topic = $3;

-- name: count_outbox
-- `set_aside` counts the rows of paused topics; `civicloom outbox --json` prints the name.
SELECT topic, count(*) FILTER (WHERE NOT paused) AS waiting, count(*) FILTER (WHERE paused) AS set_aside
FROM (SELECT topic, false AS paused FROM outbox UNION ALL SELECT topic, true FROM outbox_aside) o
GROUP BY topic ORDER BY topic;

-- name: read_epoch_state
SELECT epoch, restoring FROM epoch;

-- name: read_marks
SELECT partition, next_offset FROM sent_mark WHERE topic = $1;

-- name: set_marks
INSERT INTO sent_mark (topic, partition, next_offset) SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
WHERE sent_mark.next_offset <> excluded.next_offset;

-- name: unsent_of
-- Reads the whole outbox, once per session of the relay: it has no index by key.
SELECT value FROM outbox WHERE topic = $1 AND key = ANY ($2::text[])
UNION ALL
SELECT value FROM outbox_aside WHERE topic = $1 AND key = ANY ($2::text[]);
