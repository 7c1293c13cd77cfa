-- migrate:up

-- When each version became public and when it was retired. A feed changes at both times, also when a correction moves
-- a publication out of its topic.
ALTER TABLE publication_version
    ADD COLUMN published_at timestamptz,
    ADD COLUMN retired_at   timestamptz; -- replaced by a later version, or withdrawn
UPDATE publication_version v
SET published_at = CASE p.state WHEN 'withdrawn' THEN p.published_at ELSE p.public_changed_at END,
    retired_at   = CASE p.state WHEN 'withdrawn' THEN p.public_changed_at END
FROM publication p WHERE p.id = v.publication AND p.public_version = v.version;

-- migrate:down
ALTER TABLE publication_version DROP COLUMN published_at, DROP COLUMN retired_at;
