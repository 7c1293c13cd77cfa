-- migrate:up

-- The first offset that was logged of a partition. Above 0, what was before it was gone when the log was begun:
-- sequences that were under way then miss their beginning, and nothing is lost.
ALTER TABLE log_cursor ADD COLUMN first_offset bigint NOT NULL DEFAULT 0;

-- migrate:down

ALTER TABLE log_cursor DROP COLUMN first_offset;
