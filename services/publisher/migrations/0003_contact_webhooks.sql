-- migrate:up

-- A contact may name a webhook, alone or beside a mail address: URL and signing secret, sealed under a key of their own.
ALTER TABLE contact
    ADD COLUMN webhook     bytea,
    ADD COLUMN webhook_key bytea;

-- migrate:down
ALTER TABLE contact DROP COLUMN webhook, DROP COLUMN webhook_key;
