-- migrate:up

-- A page of a list reads its own rows, however many belong to other topics or states.

-- The publications in force, by topic. Triggers keep it and the next table, since an older release may run beside this.
CREATE TABLE publication_topic (
    publication  text COLLATE "C" NOT NULL,
    topic        text NOT NULL,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (publication, topic)
);
CREATE INDEX publication_topic_page ON publication_topic (topic, published_at DESC, publication DESC);

-- When something under a topic was last published or retired.
CREATE TABLE topic_change (
    topic      text PRIMARY KEY,
    changed_at timestamptz NOT NULL
);

INSERT INTO publication_topic
SELECT DISTINCT p.id, t.topic, p.published_at
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.public_version,
    unnest(v.topics) AS t (topic)
WHERE p.state <> 'withdrawn';
INSERT INTO topic_change
SELECT t.topic, max(greatest(v.published_at, v.retired_at)) FROM publication_version v, unnest(v.topics) AS t (topic)
WHERE v.published_at IS NOT NULL GROUP BY t.topic;

CREATE FUNCTION publication_keeps_topics() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM publication_topic WHERE publication = NEW.id;
    INSERT INTO publication_topic
    SELECT DISTINCT NEW.id, t.topic, NEW.published_at FROM publication_version v, unnest(v.topics) AS t (topic)
    WHERE v.publication = NEW.id AND v.version = NEW.public_version AND NEW.state <> 'withdrawn';
    RETURN NULL;
END $$;
CREATE FUNCTION version_changes_topics() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO topic_change AS c
    SELECT DISTINCT t.topic, greatest(NEW.published_at, NEW.retired_at) FROM unnest(NEW.topics) AS t (topic) ORDER BY 1
    ON CONFLICT (topic) DO UPDATE SET changed_at = greatest(c.changed_at, excluded.changed_at);
    RETURN NULL;
END $$;
CREATE TRIGGER keeps_topics AFTER UPDATE OF state, public_version, published_at ON publication
    FOR EACH ROW EXECUTE FUNCTION publication_keeps_topics();
CREATE TRIGGER changes_topics AFTER UPDATE OF published_at, retired_at ON publication_version
    FOR EACH ROW WHEN (NEW.published_at IS NOT NULL) EXECUTE FUNCTION version_changes_topics();

CREATE INDEX publication_in_force ON publication (published_at DESC, id DESC)
    WHERE public_version IS NOT NULL AND state <> 'withdrawn';
DROP INDEX publication_public;
CREATE INDEX publication_state ON publication (state, changed_at DESC, id DESC);
CREATE INDEX publication_version_change ON publication_version (greatest(published_at, retired_at))
    WHERE published_at IS NOT NULL;

-- Whether a push is open must not read what is open of another version.
DROP INDEX delivery_open;
CREATE INDEX delivery_open ON delivery (subject, version) WHERE state IN ('waiting', 'pending', 'sending');

-- migrate:down
DROP INDEX delivery_open;
CREATE INDEX delivery_open ON delivery (subject) WHERE state IN ('waiting', 'pending', 'sending');
DROP INDEX publication_version_change, publication_state, publication_in_force;
CREATE INDEX publication_public ON publication (published_at DESC, id DESC) WHERE public_version IS NOT NULL;
DROP TRIGGER changes_topics ON publication_version;
DROP TRIGGER keeps_topics ON publication;
DROP FUNCTION version_changes_topics(), publication_keeps_topics();
DROP TABLE topic_change, publication_topic;
