-- migrate:up

-- The lists of cases in one displayed state (domain/states.py), the clerk's queue among them. Most cases are closed.
CREATE INDEX inquiry_state ON inquiry ((CASE stage WHEN 'accepted' THEN holding ELSE stage END), id)
    WHERE stage <> 'unknown';
DROP INDEX inquiry_to_accept;

-- migrate:down
CREATE INDEX inquiry_to_accept ON inquiry (id) WHERE stage = 'received';
DROP INDEX inquiry_state;
