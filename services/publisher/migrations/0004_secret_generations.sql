-- migrate:up

-- The secret of a webhook is derived from its subscription's id and this number: a higher one makes a new secret.
-- `rotated_at` is machine time: the previous secret signs for a day after it.
ALTER TABLE subscription
    ADD COLUMN generation integer NOT NULL DEFAULT 0,
    ADD COLUMN rotated_at timestamptz;

-- migrate:down
ALTER TABLE subscription DROP COLUMN generation, DROP COLUMN rotated_at;
