-- migrate:up

-- Entries of a subject that are neither of the two kinds with an index of their own. Few, so an append seldom pays.
CREATE INDEX log_entry_other ON log_entry (subject_no, index) WHERE kind NOT IN ('event', 'incident');
-- For the count of what is missing.
CREATE INDEX log_gap_open ON log_gap (opened_at) WHERE accepted IS NULL;

-- migrate:down
DROP INDEX log_gap_open, log_entry_other;
