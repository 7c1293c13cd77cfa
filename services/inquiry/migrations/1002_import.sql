-- migrate:up

-- How far an import has come, in the transaction of its last batch. Only to be quicker when it is started
-- again: that nothing is taken twice is decided by the index inquiry_external. Gone when it is through.
CREATE TABLE import_progress (
    fingerprint text PRIMARY KEY,  -- of the file, the mapping and the pack together
    records     bigint NOT NULL
);

-- The rows that could not be taken so far: the report is written from here, so that one killed half-way
-- leaves none out and says none twice.
CREATE TABLE import_rejected (
    fingerprint text NOT NULL,
    line        bigint NOT NULL,
    external_id text NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (fingerprint, line)
);

-- migrate:down
DROP TABLE import_rejected, import_progress;
