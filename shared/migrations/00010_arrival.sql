-- migrate:up

-- Parked events of a key are applied in the order of their arrival: a key may come from two partitions, and a log that
-- is read again hands out its offsets again. Rows that are here already keep their order.
ALTER TABLE parked_event ADD COLUMN arrival bigint;
UPDATE parked_event p SET arrival = o.n
FROM (SELECT ctid AS tid, row_number() OVER (ORDER BY partition, "offset") AS n FROM parked_event) o
WHERE p.ctid = o.tid;
ALTER TABLE parked_event ALTER COLUMN arrival SET NOT NULL;
ALTER TABLE parked_event ALTER COLUMN arrival ADD GENERATED ALWAYS AS IDENTITY;
SELECT setval(pg_get_serial_sequence('parked_event', 'arrival'), (SELECT max(arrival) FROM parked_event));
ALTER TABLE parked_event DROP CONSTRAINT parked_event_pkey, ADD PRIMARY KEY (consumer, topic, key, arrival);

-- A dead letter may be all unreadable records of a partition batch: `records` of those between "offset" and
-- `last_offset`, with the bytes of the first. `last_offset` is null for a single record.
ALTER TABLE dead_letter ADD COLUMN last_offset bigint;
ALTER TABLE dead_letter ADD COLUMN records integer NOT NULL DEFAULT 1;

-- Machine time. Resolved dead letters are deleted some time later.
ALTER TABLE dead_letter ADD COLUMN resolved_at timestamptz;
CREATE INDEX dead_letter_resolved ON dead_letter (resolved_at) WHERE resolution IS NOT NULL;

-- migrate:down
DROP INDEX dead_letter_resolved;
ALTER TABLE dead_letter DROP COLUMN resolved_at, DROP COLUMN records, DROP COLUMN last_offset;
ALTER TABLE parked_event DROP CONSTRAINT parked_event_pkey, DROP COLUMN arrival,
    ADD PRIMARY KEY (consumer, topic, key, partition, "offset");
