-- migrate:up

-- The head of a publication: the state of its newest version, and the version that the public sees.
-- A correction is a new draft beside a version that stays public until the correction is published.
CREATE TABLE publication (
    id                text COLLATE "C" PRIMARY KEY,
    state             text NOT NULL CHECK (state IN ('draft', 'approved', 'published', 'withdrawn')),
    version           integer NOT NULL,
    public_version    integer,
    changed_at        timestamptz NOT NULL,
    published_at      timestamptz, -- of the first public version: a correction does not move it in lists
    public_changed_at timestamptz, -- of the last public change: publishing or withdrawing
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

-- Subscriptions to publications. The address is sealed under a key of its own row; `address_hash` is keyed, so that
-- the table alone reveals no address.
CREATE TABLE subscription (
    id           text COLLATE "C" PRIMARY KEY,
    lane         text NOT NULL CHECK (lane IN ('email', 'webhook')),
    state        text NOT NULL CHECK (state IN ('pending', 'active', 'ended')),
    topics       text[] NOT NULL, -- empty: all
    language     text NOT NULL,
    address_hash bytea,
    address      bytea,           -- null once ended
    wrapped_key  bytea,
    asked_at     timestamptz NOT NULL,
    confirmed_at timestamptz,
    ended_at     timestamptz
);
CREATE UNIQUE INDEX subscription_one_per_address ON subscription (lane, address_hash) WHERE state = 'active';
CREATE INDEX subscription_active ON subscription (id) WHERE state = 'active';

-- What is known of a case that may get notices. Its parts come from two topics in any order: `wanted` from
-- inquiry.received, `stated` with the address from contact.stated. No row for a case without contact.
CREATE TABLE contact (
    inquiry     text COLLATE "C" PRIMARY KEY,
    wanted      boolean,
    stated      boolean NOT NULL DEFAULT false,
    erased      boolean NOT NULL DEFAULT false, -- kept, so that a contact.stated that arrives later is not stored
    number      text,
    language    text,
    address     bytea,
    wrapped_key bytea
);

-- Steps that routing reported before inquiry.received came: it is not known yet whether they need a notice.
CREATE TABLE early_step (
    inquiry text COLLATE "C" NOT NULL,
    cause   text COLLATE "C" NOT NULL,
    step    text NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (inquiry, cause)
);

-- The delivery ledger. The id is the Message-ID or webhook-id of every attempt. An attempt is recorded as `sending`
-- before the network is used, its result afterwards; a lease that ends in `sending` means an unknown result, and the
-- delivery is sent again. `due_at` is machine time: the next try, or in `sending` the end of the lease.
CREATE TABLE delivery (
    id          text COLLATE "C" PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('publication', 'notice', 'confirmation')),
    lane        text NOT NULL CHECK (lane IN ('email', 'webhook')),
    bulk        boolean NOT NULL,  -- bulk has separate workers, so that it never delays a notice
    subject     text COLLATE "C" NOT NULL, -- publication, inquiry or subscription
    recipient   text COLLATE "C" NOT NULL, -- subscription, or the inquiry whose contact it is
    version     integer,           -- of the publication
    step        text,              -- of the case
    at          timestamptz NOT NULL, -- business time of what it reports
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
