-- migrate:up

-- What this service waits for from another: deleted when it comes. What stays here for minutes is a case that
-- nobody answers. Only ids stand here, no words.
CREATE TABLE expectation (
    subject text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    party   text COLLATE "C" NOT NULL, -- the unit that a delivery is for; empty for other kinds
    since   timestamptz NOT NULL,      -- machine time
    PRIMARY KEY (subject, kind, party)
) WITH (
    -- Rows live for a second or so.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX expectation_age ON expectation (since);

-- migrate:down
DROP TABLE expectation;
