-- migrate:up

-- The case file. What inquiry reported is separate from what routing decided: either may be missing, and a missing
-- part is a state. `state` is what people see, computed from both (domain/case_file.py has the same rule).
CREATE TABLE case_file (
    id             text COLLATE "C" PRIMARY KEY,
    -- what inquiry reported
    phase          text NOT NULL,
    number         text,
    kind           text,
    service_code   text,
    area           text,
    visibility     text,
    urgent         boolean NOT NULL,
    hint           text,
    notify         boolean NOT NULL,    -- whether to notify the citizen: copied into the events that publisher reads
    received_at    timestamptz,
    reply_due      timestamptz,
    reply_day_count text,               -- the day count of the policy in which pages show the time left
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
    inquiry    text COLLATE "C" NOT NULL, -- no foreign key: one statement writes each table, under one lock
    unit       text COLLATE "C" NOT NULL,
    role       text NOT NULL,
    state      text NOT NULL,
    attempt    integer NOT NULL,
    offered_at timestamptz NOT NULL,
    signed_at  timestamptz,
    ended_at   timestamptz,
    reason     text,
    note       text,                    -- words: null once erased
    -- Copied from the case, so that the list of a unit with thousands of cases is one index scan.
    reply_due  timestamptz NOT NULL,
    PRIMARY KEY (inquiry, unit)
);
CREATE INDEX assignment_live ON assignment (unit, reply_due, inquiry) WHERE state IN ('offered', 'signed');
CREATE INDEX assignment_done ON assignment (unit, reply_due, inquiry) WHERE state = 'done';

-- Actions that belong to no case. A timer refuses them with the unit as subject, so that a batch need not lock
-- the unit for every action. Each counts once by the core's seen_event.
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
