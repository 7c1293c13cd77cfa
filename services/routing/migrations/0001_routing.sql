-- migrate:up

-- The case file. What inquiry told stands apart from what routing decided: either may be missing, and a missing
-- part is a state. `state` is what people see, made of both (domain/case_file.py has the same rule).
CREATE TABLE case_file (
    id             text COLLATE "C" PRIMARY KEY,
    -- what inquiry told
    phase          text NOT NULL,
    number         text,
    kind           text,
    service_code   text,
    area           text,
    visibility     text,
    urgent         boolean NOT NULL,
    hint           text,
    notify         boolean NOT NULL,    -- whether the citizen is to be told: repeated in what publisher reads
    received_at    timestamptz,
    reply_due      timestamptz,
    reply_day_count text,               -- by which day count of the policy: a page tells what is left in it
    cycle          integer NOT NULL,
    policy_version text,
    jurisdiction   text,
    words          jsonb,               -- null once erased
    -- what routing decided
    placement      text NOT NULL,
    attempt        integer NOT NULL,
    lead           text,
    rule           text,
    triage_reason  text,
    triaged_at     timestamptz,
    sign_due       timestamptz,
    -- a reply that inquiry has not answered yet
    proposal       text,
    proposal_unit  text,
    proposal_action text,
    proposal_by_topic boolean,
    state          text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN phase IN ('erased', 'closed', 'replied') THEN phase ELSE placement END
    ) STORED
);
CREATE INDEX case_file_triage ON case_file (triaged_at, id) WHERE state = 'triage';

CREATE TABLE assignment (
    inquiry    text COLLATE "C" NOT NULL, -- no foreign key: both are written by one statement each, under one lock
    unit       text COLLATE "C" NOT NULL,
    role       text NOT NULL,
    state      text NOT NULL,
    attempt    integer NOT NULL,
    offered_at timestamptz NOT NULL,
    signed_at  timestamptz,
    ended_at   timestamptz,
    reason     text,
    note       text,                    -- words: null once erased
    -- The case's own, repeated here so that a desk of thousands of cases is one walk over an index.
    reply_due  timestamptz NOT NULL,
    PRIMARY KEY (inquiry, unit)
);
CREATE INDEX assignment_live ON assignment (unit, reply_due, inquiry) WHERE state IN ('offered', 'signed');
CREATE INDEX assignment_done ON assignment (unit, reply_due, inquiry) WHERE state = 'done';

-- Actions that belong to no case: refused in the unit's own name by a timer, because the slice must not
-- hold the unit's row for every action. Each counts once by the core's seen_event.
CREATE TABLE stray_action (
    unit        text NOT NULL,
    number      bigint GENERATED ALWAYS AS IDENTITY,
    action      text NOT NULL,
    rule        text NOT NULL,
    detail      text,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (unit, number)
);

-- migrate:down
DROP TABLE stray_action, assignment, case_file;
