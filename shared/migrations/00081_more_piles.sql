-- migrate:up

-- By kind, so that a count of each stops at its bound, however many of another are overdue.
DROP INDEX expectation_age;
CREATE INDEX expectation_age ON expectation (kind, since);

-- Asked each second. Pauses that are over keep their moment, and are passed.
CREATE INDEX flood_paused ON flood (paused_until) WHERE paused_until IS NOT NULL;

-- For an erasure: the key is third in the primary key, which was searched from one end to the other.
CREATE INDEX parked_event_key ON parked_event (key);

-- migrate:down
DROP INDEX parked_event_key, flood_paused, expectation_age;
CREATE INDEX expectation_age ON expectation (since);
