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

-- What a restore has to say, and facts of the service that it has not put back yet. Written in the transaction
-- that would else forget them, so that a restore can be killed and started again; cleared by the next restore.
CREATE TABLE restore_note (
    what text NOT NULL,  -- the names in shared/restore/notes.py
    id   text NOT NULL,  -- of the event; else the number or subject of the case
    note jsonb NOT NULL,
    PRIMARY KEY (what, id)
);

-- migrate:down
DROP TABLE restore_note, sent_mark;
ALTER TABLE epoch DROP COLUMN restoring;
