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
-- One branch per shard, each the beginning of its part of the key, merged by id: rows of shards that another relay holds
-- are not read, however many there are, and no shard has precedence. Only an ordered branch can be merged. A missing
-- element of $1 is null and finds nothing. Ids grow in commit order per key and a shard has one owner, so a key's rows
-- are sent in order. Rows beyond $3 bytes are not sent, except the first one.
SELECT id, shard, topic, key, value, words, delivery FROM (
    SELECT *, sum(octet_length(value) + coalesce(octet_length(words), 0))
        OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (SELECT * FROM (
        (SELECT * FROM outbox WHERE shard = ($1::smallint[])[1] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[2] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[3] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[4] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[5] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[6] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[7] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[8] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[9] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[10] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[11] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[12] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[13] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[14] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[15] ORDER BY id)
        UNION ALL (SELECT * FROM outbox WHERE shard = ($1::smallint[])[16] ORDER BY id)
    ) own ORDER BY id LIMIT $2) first
) o WHERE bytes - octet_length(value) - coalesce(octet_length(words), 0) < $3;

-- name: delete_sent
DELETE FROM outbox o USING unnest($1::smallint[], $2::bigint[]) AS d (shard, id)
WHERE o.shard = d.shard AND o.id = d.id;

-- name: pause_rows
-- Moves rows of paused topics, which a publish batch has come upon, to the table outbox_aside.
WITH moved AS (
    DELETE FROM outbox o USING unnest($1::smallint[], $2::bigint[]) AS d (shard, id)
    WHERE o.shard = d.shard AND o.id = d.id
    RETURNING o.id, o.shard, o.topic, o.key, o.value, o.words, o.delivery, o.written_at
), kept AS (
    INSERT INTO outbox_aside (id, shard, topic, key, value, words, delivery, written_at)
    SELECT * FROM moved RETURNING topic
)
SELECT topic, count(*) AS n FROM kept GROUP BY topic;

-- name: count_paused_rows
SELECT topic, count(*) AS n FROM outbox_aside WHERE shard = ANY ($1::smallint[]) GROUP BY topic;

-- name: take_paused_batch
-- The oldest rows of one paused topic, by the same rules as take_batch.
SELECT id, shard, topic, key, value, words, delivery FROM (
    SELECT *, sum(octet_length(value) + coalesce(octet_length(words), 0))
        OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (SELECT * FROM (
        (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[1] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[2] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[3] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[4] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[5] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[6] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[7] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[8] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[9] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[10] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[11] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[12] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[13] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[14] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[15] AND topic = $2 ORDER BY id)
        UNION ALL (SELECT * FROM outbox_aside WHERE shard = ($1::smallint[])[16] AND topic = $2 ORDER BY id)
    ) own ORDER BY id LIMIT $3) first
) o WHERE bytes - octet_length(value) - coalesce(octet_length(words), 0) < $4;

-- name: delete_sent_paused
DELETE FROM outbox_aside o USING unnest($1::smallint[], $2::bigint[], $3::text[]) AS d (shard, id, topic)
WHERE o.shard = d.shard AND o.topic = d.topic AND o.id = d.id;

-- name: oldest_written
-- When the oldest event that waits was written, over all shards, whether a relay holds them or not; null: none waits.
-- The head of each shard, since ids grow with time. Rows of a release before `written_at` have none and do not count.
SELECT least(
    (SELECT min(head.written_at) FROM generate_series(0, 15) AS s (shard) CROSS JOIN LATERAL (
        SELECT written_at FROM outbox o WHERE o.shard = s.shard ORDER BY id LIMIT 1
    ) head),
    (SELECT min(written_at) FROM outbox_aside)
);

-- name: count_outbox
-- `set_aside` counts the rows of paused topics; `civicloom outbox --json` prints the name.
SELECT topic, count(*) FILTER (WHERE NOT paused) AS waiting, count(*) FILTER (WHERE paused) AS set_aside
FROM (SELECT topic, false AS paused FROM outbox UNION ALL SELECT topic, true FROM outbox_aside) o
GROUP BY topic ORDER BY topic;

-- name: changed_widths
SELECT topic, partitions, grows_to, revision FROM topic_width WHERE revision > $1;

-- name: keep_widths
-- The first copy of the service that sends to a topic decides; all others take over what it kept.
INSERT INTO topic_width (topic, partitions) SELECT * FROM unnest($1::text[], $2::int[]) ON CONFLICT DO NOTHING;

-- name: read_widths
SELECT topic, partitions, grows_to, drained FROM topic_width WHERE topic = ANY ($1::text[]);

-- name: know_widths
-- A relay holds it in shared mode for the last change that it has read, so that `topics grow` can wait for it.
SELECT pg_advisory_lock_shared($1, $2);

-- name: forget_widths
SELECT pg_advisory_unlock_shared($1, $2);

-- name: relays_to_wait_for
-- Sessions of live relays (locks $1, $2) that have not read the last change of the widths (locks $3).
SELECT a.pid FROM pg_locks a
WHERE a.locktype = 'advisory' AND a.classid = $1::bigint::oid AND a.objid = $2::bigint::oid AND a.objsubid = 2
    AND a.granted AND a.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND NOT EXISTS (
        SELECT FROM pg_locks k
        WHERE k.locktype = 'advisory' AND k.classid = $3::bigint::oid AND k.objsubid = 2 AND k.granted
            AND k.database = a.database AND k.pid = a.pid
            AND k.objid::bigint >= (SELECT max(revision) FROM topic_width)
    )
ORDER BY a.pid;

-- name: hold_topic
INSERT INTO topic_width (topic, partitions, grows_to, revision)
VALUES ($1, $2, $3, (SELECT coalesce(max(revision), 0) + 1 FROM topic_width))
ON CONFLICT (topic) DO UPDATE SET grows_to = excluded.grows_to, revision = excluded.revision
WHERE topic_width.grows_to IS NULL;

-- name: release_topic
UPDATE topic_width SET grows_to = NULL, revision = (SELECT max(revision) + 1 FROM topic_width)
WHERE topic = $1 AND grows_to IS NOT NULL AND NOT drained;

-- name: mark_drained
UPDATE topic_width SET drained = true WHERE topic = $1 AND grows_to = $2;

-- name: widen_topic
UPDATE topic_width SET partitions = grows_to, grows_to = NULL, drained = false,
    revision = (SELECT max(revision) + 1 FROM topic_width)
WHERE topic = $1 AND drained;

-- name: read_epoch_state
SELECT epoch, restoring FROM epoch;

-- name: read_marks
SELECT partition, next_offset FROM sent_mark WHERE topic = $1;

-- name: set_marks
INSERT INTO sent_mark (topic, partition, next_offset) SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
WHERE sent_mark.next_offset <> excluded.next_offset;

-- name: unsent_of
-- Once per session of the relay.
SELECT value FROM outbox WHERE topic = $1 AND key = ANY ($2::text[])
UNION ALL
SELECT value FROM outbox_aside WHERE topic = $1 AND key = ANY ($2::text[]);
