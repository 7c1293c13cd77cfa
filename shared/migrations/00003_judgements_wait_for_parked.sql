-- migrate:up

-- For deadline checks: whether any event of an aggregate is parked, from whichever topic.
CREATE INDEX parked_key_key ON parked_key (key);

-- migrate:down
DROP INDEX parked_key_key;
