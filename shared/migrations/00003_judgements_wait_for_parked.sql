-- migrate:up

-- Whether anything of an aggregate waits, whatever topic it came by: a timer that judges asks for it.
CREATE INDEX parked_key_key ON parked_key (key);

-- migrate:down
DROP INDEX parked_key_key;
