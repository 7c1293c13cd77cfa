-- migrate:up

-- The case (工单). Inquiry and routing decide separate columns. The row is inserted on first mention by either,
-- and the displayed state follows from both (domain/states.py).
CREATE TABLE inquiry (
    id              text COLLATE "C" PRIMARY KEY,
    -- decided by inquiry; null until the case is received
    number          text UNIQUE,
    secret_hash     text,
    kind            text,
    service_code    text,
    area            text,
    visibility      text,
    channel         text,
    urgent          boolean NOT NULL DEFAULT false,
    external_source text,
    external_id     text,
    original_time   timestamptz,
    created         timestamptz,
    stage           text NOT NULL DEFAULT 'unknown',
    cycle           integer NOT NULL DEFAULT 1,
    policy_version  text,
    -- the reply clock of the current cycle
    clock_start     timestamptz,
    due             timestamptz,
    day_zero        date,
    amount          integer,
    day_count       text,
    breached        boolean NOT NULL DEFAULT false,
    evaluate_until  timestamptz,
    closed_at       timestamptz,
    erased_at       timestamptz,
    -- decided by routing
    holding         text NOT NULL DEFAULT 'none',
    lead            text,
    co              text[] NOT NULL DEFAULT '{}',
    attempt         integer NOT NULL DEFAULT 0
) WITH (fillfactor = 75);  -- room for later versions of the row on the same page

-- An import that runs twice takes no row twice.
CREATE UNIQUE INDEX inquiry_external ON inquiry (external_source, external_id) WHERE external_id IS NOT NULL;
-- The clerk's queue. `stage` rarely changes, so the index costs the hot path nothing.
CREATE INDEX inquiry_to_accept ON inquiry (id) WHERE stage = 'received';

-- The event of the intake as committed (the receipt), and its words until they are erased.
CREATE TABLE received (
    inquiry text COLLATE "C" PRIMARY KEY,
    value   bytea NOT NULL,
    words   bytea
) WITH (toast_tuple_target = 8160);  -- most fit a page; compressing each would cost more than the rest of its row

-- The timeline after intake; its first line is made from the case itself.
CREATE TABLE step (
    id      bigint GENERATED ALWAYS AS IDENTITY,
    inquiry text COLLATE "C" NOT NULL,
    at      timestamptz NOT NULL,
    kind    text NOT NULL,
    data    jsonb NOT NULL,
    words   text,
    PRIMARY KEY (inquiry, id)
);

-- How to reach the citizen. Read only for a stated purpose, and each reading is an event.
CREATE TABLE contact (
    inquiry  text COLLATE "C" PRIMARY KEY,
    name     text,
    email    text,
    phone    text,
    language text NOT NULL
);

-- migrate:down
DROP TABLE contact, step, received, inquiry;
