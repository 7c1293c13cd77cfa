-- migrate:up

-- Whether the words of the aggregate are erased: words that arrive later are erased at once.
ALTER TABLE aggregate ADD COLUMN erased boolean NOT NULL DEFAULT false;

-- Whether the words are deleted: the dead letter is resolved, or its case erased.
ALTER TABLE dead_letter ADD COLUMN erased boolean NOT NULL DEFAULT false;
UPDATE dead_letter SET words = NULL, erased = true WHERE resolution IS NOT NULL;

CREATE INDEX dead_letter_key ON dead_letter (key);

-- migrate:down
DROP INDEX dead_letter_key;
ALTER TABLE dead_letter DROP COLUMN erased;
ALTER TABLE aggregate DROP COLUMN erased;
