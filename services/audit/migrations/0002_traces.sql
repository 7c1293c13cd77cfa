-- migrate:up

-- One row, made when traces are exported for the first time: the index of the next entry to be sent.
CREATE TABLE trace_export (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    next_index bigint NOT NULL
);

-- migrate:down

DROP TABLE trace_export;
