-- migrate:up

-- One row: the subject up to which it was looked whether the cases among them have an entry of their intake.
CREATE TABLE case_check (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    checked  bigint NOT NULL
);
INSERT INTO case_check (checked) VALUES (0);

-- migrate:down

DROP TABLE case_check;
