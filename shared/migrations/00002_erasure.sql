-- migrate:up

-- Whether the words of the aggregate are to be forgotten: what comes late is erased as it comes.
ALTER TABLE aggregate ADD COLUMN erased boolean NOT NULL DEFAULT false;

-- Whether what could hold words is gone: the letter is resolved, or its case erased.
ALTER TABLE dead_letter ADD COLUMN erased boolean NOT NULL DEFAULT false;
UPDATE dead_letter SET words = NULL, erased = true WHERE resolution IS NOT NULL;

CREATE INDEX dead_letter_key ON dead_letter (key);

-- migrate:down
DROP INDEX dead_letter_key;
ALTER TABLE dead_letter DROP COLUMN erased;
ALTER TABLE aggregate DROP COLUMN erased;
