-- migrate:up

-- One row: the number of the subject (the first is 0) up to which it was looked whether the cases among them have an entry of their intake.
CREATE TABLE case_check (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    checked  bigint NOT NULL
);
INSERT INTO case_check (checked) VALUES (-1);

-- migrate:down

DROP TABLE case_check;
