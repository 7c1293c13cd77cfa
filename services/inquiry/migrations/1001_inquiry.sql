-- migrate:up

-- The case (工单). What inquiry decides and what routing tells stand in separate columns: the row is made
-- on first mention from either side, and the state that is shown follows from both (domain/states.py).
CREATE TABLE inquiry (
    id              text COLLATE "C" PRIMARY KEY,
    -- ours; null until the case is received
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
    -- the reply clock of the present cycle
    clock_start     timestamptz,
    due             timestamptz,
    day_zero        date,
    amount          integer,
    day_count       text,
    breached        boolean NOT NULL DEFAULT false,
    evaluate_until  timestamptz,
    closed_at       timestamptz,
    erased_at       timestamptz,
    -- routing's
    holding         text NOT NULL DEFAULT 'none',
    lead            text,
    co              text[] NOT NULL DEFAULT '{}',
    attempt         integer NOT NULL DEFAULT 0
) WITH (fillfactor = 75);  -- room for the states to come on the same page

-- An import that runs twice takes nothing twice.
CREATE UNIQUE INDEX inquiry_external ON inquiry (external_source, external_id) WHERE external_id IS NOT NULL;
-- The clerk's queue. `stage` changes seldom, so this index costs the hot path nothing.
CREATE INDEX inquiry_to_accept ON inquiry (id) WHERE stage = 'received';

-- What came in, as committed: the receipt, and the words beside it until they are erased.
CREATE TABLE received (
    inquiry text COLLATE "C" PRIMARY KEY,
    value   bytea NOT NULL,
    words   bytea
) WITH (toast_tuple_target = 8160);  -- most fit a page; compressing each would cost more than the rest of its row

-- What happened after intake, for the timeline; the beginning is told from the case itself.
CREATE TABLE step (
    id      bigint GENERATED ALWAYS AS IDENTITY,
    inquiry text COLLATE "C" NOT NULL,
    at      timestamptz NOT NULL,
    kind    text NOT NULL,
    data    jsonb NOT NULL,
    words   text,
    PRIMARY KEY (inquiry, id)
);

-- Where the citizen wants to hear of the case. Read only with a purpose, which becomes an event.
CREATE TABLE contact (
    inquiry  text COLLATE "C" PRIMARY KEY,
    name     text,
    email    text,
    phone    text,
    language text NOT NULL
);

-- migrate:down
DROP TABLE contact, step, received, inquiry;
