-- migrate:up

-- How many partitions the keys of a topic are hashed over: as many as the broker had when the service first sent to it,
-- or as the records show that stood there by then. Only `civicloom topics grow` changes it later; partitions that are added by other means stay empty.
CREATE TABLE topic_width (
    topic      text PRIMARY KEY,
    partitions integer NOT NULL CHECK (partitions > 0),
    -- While `topics grow` works: the number that it grows to. Relays hold the topic meanwhile.
    grows_to   integer CHECK (grows_to >= partitions),
    -- Every reader has read everything and the partitions are there: there is no way back, only on.
    drained    boolean NOT NULL DEFAULT false CHECK (grows_to IS NOT NULL OR NOT drained),
    -- Number of the last change by `topics grow`, counted over all rows; 0: none. Relays show by a lock which they know.
    revision   integer NOT NULL DEFAULT 0
);
CREATE INDEX topic_width_revision ON topic_width (revision);

-- migrate:down
DROP TABLE topic_width;
