-- migrate:up

-- When each version became public and when it was no more: a feed changes at either, also by a correction that
-- takes a publication out of its topic.
ALTER TABLE publication_version
    ADD COLUMN published_at timestamptz,
    ADD COLUMN retired_at   timestamptz; -- a later version took its place, or it was withdrawn
UPDATE publication_version v
SET published_at = CASE p.state WHEN 'withdrawn' THEN p.published_at ELSE p.public_changed_at END,
    retired_at   = CASE p.state WHEN 'withdrawn' THEN p.public_changed_at END
FROM publication p WHERE p.id = v.publication AND p.public_version = v.version;

-- migrate:down
ALTER TABLE publication_version DROP COLUMN published_at, DROP COLUMN retired_at;
