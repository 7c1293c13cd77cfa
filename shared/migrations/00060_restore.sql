-- migrate:up

-- Set by `civicloom restore` until it has finished: nothing is sent or written meanwhile.
ALTER TABLE epoch ADD COLUMN restoring boolean NOT NULL DEFAULT false;

-- Of each partition of the service's own topic an offset before which it holds only what this database had
-- committed when the row was written. In a restored database it is where the comparison with the topic begins.
CREATE TABLE sent_mark (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- migrate:down
DROP TABLE sent_mark;
ALTER TABLE epoch DROP COLUMN restoring;
