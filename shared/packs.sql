-- name: keep_policy_version
INSERT INTO policy_version (version, content) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: read_policy_versions
SELECT content FROM policy_version WHERE version = ANY ($1::text[]);
