-- name: begin_restore
-- A restore that was killed is continued: its notes stay.
WITH begun AS (UPDATE epoch SET restoring = true WHERE NOT restoring RETURNING 1)
DELETE FROM restore_note WHERE EXISTS (SELECT FROM begun);

-- name: keep_notes
INSERT INTO restore_note (what, id, note) SELECT $1, * FROM unnest($2::text[], $3::jsonb[]) ON CONFLICT DO NOTHING;

-- name: drop_notes
DELETE FROM restore_note WHERE what = $1 AND id = ANY ($2::text[]);

-- name: read_notes
SELECT id, note FROM restore_note WHERE what = $1 ORDER BY id;

-- name: take_alive_lock
-- Held in shared mode by every relay at work.
SELECT pg_try_advisory_lock($1, $2);

-- name: raise_epoch
UPDATE epoch SET epoch = $1 WHERE epoch < $1;

-- name: finish_restore
UPDATE epoch SET restoring = false;

-- name: forget_topic_widths
-- They may be older than a growth; at the first use each is found from the topic's records.
DELETE FROM topic_width;

-- name: raise_sequences
-- The last ordinals of the service's own sources, as the topics have them; others stay.
INSERT INTO aggregate (id, sequences)
SELECT id, sequences FROM unnest($1::text[], $2::jsonb[]) AS a (id, sequences)
ON CONFLICT (id) DO UPDATE SET sequences = aggregate.sequences || excluded.sequences;

-- name: read_outbox_of
SELECT id, shard, topic, key, value, words, delivery, paused FROM (
    SELECT id, shard, topic, key, value, words, delivery, false AS paused FROM outbox
    UNION ALL SELECT id, shard, topic, key, value, words, delivery, true FROM outbox_aside
) o WHERE key = ANY ($1::text[]) ORDER BY id;

-- name: renumber_outbox
UPDATE outbox o SET value = r.value FROM unnest($1::bigint[], $2::bytea[]) AS r (id, value) WHERE o.id = r.id;

-- name: renumber_paused
UPDATE outbox_aside o SET value = r.value FROM unnest($1::bigint[], $2::bytea[]) AS r (id, value) WHERE o.id = r.id;

-- name: all_marks
SELECT topic, partition, next_offset FROM sent_mark;
