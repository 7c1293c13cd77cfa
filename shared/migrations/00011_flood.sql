-- migrate:up

-- Partitions whose records could not be applied or were refused: how many in the present minute, and until when the
-- partition is not read because they were too many. Machine time.
CREATE TABLE flood (
    consumer     text NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    began_at     timestamptz NOT NULL, -- of the minute; after the present moment while an operator allows more
    records      integer NOT NULL,
    paused_until timestamptz,
    pauses       integer NOT NULL DEFAULT 0, -- one after the other: each is twice as long
    PRIMARY KEY (consumer, topic, partition)
);

-- migrate:down
DROP TABLE flood;
