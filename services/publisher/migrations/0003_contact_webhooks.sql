-- migrate:up

-- A contact may name a webhook, with or without a mail address: URL and signing secret, sealed together.
ALTER TABLE contact
    ADD COLUMN webhook     bytea,
    ADD COLUMN webhook_key bytea;

-- migrate:down
ALTER TABLE contact DROP COLUMN webhook, DROP COLUMN webhook_key;
