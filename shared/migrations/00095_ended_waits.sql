-- migrate:up

-- When an operator gave the wait up. Its row stays for the event that may come after all, and is overdue no longer.
ALTER TABLE expectation ADD COLUMN ended_at timestamptz;
DROP INDEX expectation_age;
CREATE INDEX expectation_age ON expectation (kind, since) WHERE ended_at IS NULL;

-- migrate:down
DROP INDEX expectation_age;
ALTER TABLE expectation DROP COLUMN ended_at;
CREATE INDEX expectation_age ON expectation (kind, since);
