-- migrate:up

-- The rule by which inquiry has refused the last reply: who replied at the desk or by the API finds it here.
ALTER TABLE case_file ADD COLUMN reply_refused text;

-- migrate:down

ALTER TABLE case_file DROP COLUMN reply_refused;
