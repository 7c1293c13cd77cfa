-- migrate:up

-- The head of a publication: where its newest version stands, and which version the public sees.
-- A correction is a new draft beside a version that stays public until the correction is published.
CREATE TABLE publication (
    id                text COLLATE "C" PRIMARY KEY,
    state             text NOT NULL CHECK (state IN ('draft', 'approved', 'published', 'withdrawn')),
    version           integer NOT NULL,
    public_version    integer,
    changed_at        timestamptz NOT NULL,
    published_at      timestamptz, -- of the first public version: lists stay in order when one is corrected
    public_changed_at timestamptz, -- of the last act that readers can see: publishing or withdrawing
    withdrawal_reason text
) WITH (fillfactor = 80);
CREATE INDEX publication_public ON publication (published_at DESC, id DESC) WHERE public_version IS NOT NULL;
CREATE INDEX publication_changed ON publication (changed_at DESC, id DESC);

-- Versions never change; an approval is added to the version that it approves.
CREATE TABLE publication_version (
    publication     text COLLATE "C" NOT NULL REFERENCES publication,
    version         integer NOT NULL,
    title           text NOT NULL,
    summary         text NOT NULL,
    body            text NOT NULL,
    topics          text[] NOT NULL,
    document_number text,
    effective_from  timestamptz,
    editor          text NOT NULL,
    drafted_at      timestamptz NOT NULL,
    approver        text,
    approved_at     timestamptz,
    PRIMARY KEY (publication, version)
);

-- Who wants to hear of publications. The address is sealed under a key of its own row; `address_hash` is keyed,
-- so that the table alone tells nobody's address.
CREATE TABLE subscription (
    id           text COLLATE "C" PRIMARY KEY,
    lane         text NOT NULL CHECK (lane IN ('email', 'webhook')),
    state        text NOT NULL CHECK (state IN ('pending', 'active', 'ended')),
    topics       text[] NOT NULL, -- empty: all
    language     text NOT NULL,
    address_hash bytea,
    address      bytea,           -- null once ended: nothing is left but that somebody was here
    wrapped_key  bytea,
    asked_at     timestamptz NOT NULL,
    confirmed_at timestamptz,
    ended_at     timestamptz
);
CREATE UNIQUE INDEX subscription_one_per_address ON subscription (lane, address_hash) WHERE state = 'active';
CREATE INDEX subscription_active ON subscription (id) WHERE state = 'active';

-- What publisher knows of a case that may get notices. The parts come from two topics in any order: `wanted` from
-- inquiry.received, `stated` with the address from contact.stated. No row for a case without contact.
CREATE TABLE contact (
    inquiry     text COLLATE "C" PRIMARY KEY,
    wanted      boolean,
    stated      boolean NOT NULL DEFAULT false,
    erased      boolean NOT NULL DEFAULT false, -- kept, so that a contact on its way is not stored after all
    number      text,
    language    text,
    address     bytea,
    wrapped_key bytea
);

-- Steps told by routing before inquiry.received came: whether they need a notice is not known yet.
CREATE TABLE early_step (
    inquiry text COLLATE "C" NOT NULL,
    cause   text COLLATE "C" NOT NULL,
    step    text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (inquiry, cause)
);

-- The delivery ledger. The id is the Message-ID or webhook-id, the same for every attempt. An attempt is recorded
-- as `sending` before the network is touched and its outcome after; a lease that ran out in `sending` is an unknown
-- outcome and is sent again. `due_at` is machine time: the next try, or in `sending` the end of the lease.
CREATE TABLE delivery (
    id          text COLLATE "C" PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('publication', 'notice', 'confirmation')),
    lane        text NOT NULL CHECK (lane IN ('email', 'webhook')),
    bulk        boolean NOT NULL,  -- bulk has workers of its own, so that it never delays a notice
    subject     text COLLATE "C" NOT NULL, -- publication, inquiry or subscription
    recipient   text COLLATE "C" NOT NULL, -- subscription, or the inquiry whose contact it is
    version     integer,           -- of the publication
    step        text,              -- of the case
    at          timestamptz NOT NULL, -- business time of what it tells
    state       text NOT NULL CHECK (state IN ('waiting', 'pending', 'sending', 'sent', 'failed')),
    attempts    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    error       text,
    finished_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX delivery_due ON delivery (lane, bulk, due_at) WHERE state IN ('pending', 'sending');
CREATE INDEX delivery_open ON delivery (subject) WHERE state IN ('waiting', 'pending', 'sending');
CREATE INDEX delivery_of_push ON delivery (subject, version, id) WHERE kind = 'publication';

-- A publication on its way to its subscribers.
CREATE TABLE push_batch (
    publication text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    started_at  timestamptz NOT NULL,
    closed_at   timestamptz,
    PRIMARY KEY (publication, version)
);

-- migrate:down
DROP TABLE push_batch, delivery, early_step, contact, subscription, publication_version, publication;
