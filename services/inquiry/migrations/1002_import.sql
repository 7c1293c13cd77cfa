-- migrate:up

-- The progress of an import, written in the transaction of each batch and deleted at its end. It only makes a
-- restart faster: the index inquiry_external is what keeps a row from being taken twice.
CREATE TABLE import_progress (
    fingerprint text PRIMARY KEY,  -- of the file, the mapping and the pack together
    records     bigint NOT NULL
);

-- The rows rejected so far. The report is written from here, so that an import that was killed half-way lists
-- each of them exactly once.
CREATE TABLE import_rejected (
    fingerprint text NOT NULL,
    line        bigint NOT NULL,
    external_id text NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (fingerprint, line)
);

-- migrate:down
DROP TABLE import_rejected, import_progress;
