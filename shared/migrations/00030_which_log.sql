-- migrate:up

-- The last record that was read, by which a log is known again. Null: nothing was read since the upgrade.
ALTER TABLE cursor
    ADD COLUMN last_offset      bigint,
    ADD COLUMN last_appended_ms bigint,
    ADD COLUMN last_digest      bytea; -- SHA-256 of key and value

-- What a topic has lost, as its readers found it; kept until an operator has looked.
CREATE TABLE topic_loss (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer    text NOT NULL,
    topic       text NOT NULL,
    partition   integer NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('replaced', 'expired')),
    from_offset bigint NOT NULL,
    to_offset   bigint NOT NULL,
    times       integer NOT NULL DEFAULT 1,
    found_at    timestamptz NOT NULL, -- machine time
    seen_at     timestamptz,
    seen_by     text
);
-- One row until somebody looks, however often it happens again.
CREATE UNIQUE INDEX topic_loss_unseen ON topic_loss (consumer, topic, partition, kind) WHERE seen_at IS NULL;

-- migrate:down
DROP TABLE topic_loss;
ALTER TABLE cursor DROP COLUMN last_digest, DROP COLUMN last_appended_ms, DROP COLUMN last_offset;
