-- migrate:up

-- The rule by which inquiry refused the last reply, for units that replied at the desk or over the API.
ALTER TABLE case_file ADD COLUMN reply_refused text;

-- migrate:down

ALTER TABLE case_file DROP COLUMN reply_refused;
