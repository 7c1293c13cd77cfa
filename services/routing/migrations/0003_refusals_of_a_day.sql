-- migrate:up

-- How often a unit was refused about a case on a day: the first ten are events, the rest is this count.
ALTER TABLE assignment ADD COLUMN refused_on date, ADD COLUMN refusals integer NOT NULL DEFAULT 0;

-- migrate:down

ALTER TABLE assignment DROP COLUMN refused_on, DROP COLUMN refusals;
