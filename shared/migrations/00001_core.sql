-- migrate:up

-- One row per aggregate, locked before anything of it changes. `sequences` maps a source to its last ordinal
-- (epoch * 10^10 + sequence): emitted, if the source is ours, applied otherwise.
CREATE TABLE aggregate (
    id        text COLLATE "C" PRIMARY KEY,
    sequences jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70);

-- Events to be sent to Kafka. Ids grow in commit order per key, because the aggregate is locked first.
CREATE TABLE outbox (
    -- The id alone, so that a publish batch is the beginning of the index and needs no sort of all rows.
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard    smallint GENERATED ALWAYS AS ((hashtextextended(key, 0) & 15)::smallint) STORED,
    topic    text NOT NULL,
    key      text NOT NULL,
    value    bytea NOT NULL,
    words    bytea,
    -- For a record on a unit's topic: unit, subject, id and type, for the event `delivery.succeeded`.
    delivery jsonb
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    toast_tuple_target = 8160 -- the rows live for milliseconds: compression is not worth it
);

-- Rows of paused topics, so that other topics are not blocked. They are sent in id order.
CREATE TABLE outbox_aside (
    id       bigint NOT NULL,
    shard    smallint NOT NULL,
    topic    text NOT NULL,
    key      text NOT NULL,
    value    bytea NOT NULL,
    words    bytea,
    delivery jsonb,
    PRIMARY KEY (shard, topic, id)
);

-- The next offset of each partition, advanced in the transaction that applied the records before it.
CREATE TABLE cursor (
    consumer    text NOT NULL,
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (consumer, topic, partition)
) WITH (fillfactor = 50);

-- Processed actions of units, which have no sequence: identified by source (their topic) and id.
CREATE TABLE seen_event (
    source  text NOT NULL,
    id      text NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (source, id)
);
CREATE INDEX seen_event_age ON seen_event (seen_at);

-- A key with a failed event. Later events of the key wait behind it; other keys are not affected.
CREATE TABLE parked_key (
    consumer     text NOT NULL,
    topic        text NOT NULL,
    key          text NOT NULL,
    error        text NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    next_attempt timestamptz NOT NULL, -- machine time
    dead         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (consumer, topic, key)
);
CREATE INDEX parked_key_due ON parked_key (next_attempt) WHERE NOT dead;

CREATE TABLE parked_event (
    consumer    text NOT NULL,
    topic       text NOT NULL,
    key         text NOT NULL,
    partition   integer NOT NULL,
    "offset"    bigint NOT NULL,
    appended_ms bigint NOT NULL,
    record_key  bytea,
    value       bytea,
    words       bytea,
    PRIMARY KEY (consumer, topic, key, partition, "offset")
);

CREATE TABLE dead_letter (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer    text NOT NULL,
    topic       text NOT NULL,
    partition   integer NOT NULL,
    "offset"    bigint NOT NULL,
    appended_ms bigint NOT NULL,
    key         text,              -- null: the bytes have no readable key
    event_type  text,
    record_key  bytea,
    value       bytea,
    words       bytea,
    error       text NOT NULL,
    detail      text NOT NULL,
    attempts    integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    resolution  text,              -- null: open; 'replayed' or 'discarded'
    resolved_by text,
    reason      text
);
CREATE INDEX dead_letter_open ON dead_letter (id) WHERE resolution IS NULL;

-- In business time. One timer of a kind per aggregate; scheduling again replaces it. `judges`: a deadline check.
CREATE TABLE timer (
    aggregate  text COLLATE "C" NOT NULL,
    kind       text NOT NULL,
    due        timestamptz NOT NULL,
    fires_at   timestamptz NOT NULL, -- due, plus the grace of a deadline check, plus backoff after a fault
    judges     boolean NOT NULL,
    data       jsonb NOT NULL,
    attempts   integer NOT NULL DEFAULT 0,
    PRIMARY KEY (aggregate, kind)
);
CREATE INDEX timer_fires ON timer (fires_at);

CREATE TABLE idempotency_key (
    scope      text NOT NULL,      -- caller and route
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    status     integer,
    response   jsonb,              -- the answer without secrets
    expires_at timestamptz NOT NULL, -- machine time
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (expires_at);

-- Every pack version that a row here was made under.
CREATE TABLE policy_version (
    version text PRIMARY KEY,
    content jsonb NOT NULL
);

-- Raised by a restore; read at start.
CREATE TABLE epoch (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch integer NOT NULL
);
INSERT INTO epoch (epoch) VALUES (1);

-- migrate:down
DROP TABLE epoch, policy_version, idempotency_key, timer, dead_letter, parked_event, parked_key, seen_event, cursor,
    outbox_aside, outbox, aggregate;
