-- migrate:up

-- One row per subject that the log has seen. `key` is random, wrapped by the master key, and the only way
-- to the subject's words and pseudonyms: erasure sets it to NULL for good.
CREATE TABLE log_subject (
    no      bigint PRIMARY KEY,
    subject text COLLATE "C" NOT NULL UNIQUE,
    key     bytea
);

-- Which subjects have events of a trace that is not named after them; nearly all events belong to the trace of
-- their own subject and need no row.
CREATE TABLE log_correlation (
    correlation text COLLATE "C" NOT NULL,
    subject_no  bigint NOT NULL,
    PRIMARY KEY (correlation, subject_no)
);

-- The log. `entry` is the public leaf; the rest is private, for readers inside audit and for openings.
-- An unparseable record has neither event_id, source, position, type nor value; its bytes are sealed in log_words.
CREATE TABLE log_entry (
    index       bigint PRIMARY KEY,
    kind        text COLLATE "C" NOT NULL,
    appended_ms bigint NOT NULL,
    subject_no  bigint NOT NULL,
    position    bigint,
    event_id    uuid,
    source      text COLLATE "C",
    type        text COLLATE "C",
    entry       bytea NOT NULL,
    value       bytea,
    fault       text
);
ALTER TABLE log_entry ALTER COLUMN entry SET STORAGE EXTERNAL;
-- Finds a producer's second sending; `position` is epoch * 10^10 + sequence.
CREATE UNIQUE INDEX log_entry_position ON log_entry (subject_no, source, position) WHERE kind = 'event';
CREATE INDEX log_entry_incident ON log_entry (subject_no, source, position) WHERE kind = 'incident';
-- Ids are UUIDv7 and v8, ordered by time, so this index grows at its end.
CREATE INDEX log_entry_event_id ON log_entry (event_id);

-- Words under the subject's key. The only rows of the log that ever go.
CREATE TABLE log_words (
    subject_no bigint NOT NULL,
    index      bigint NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (subject_no, index)
);

-- Full tiles, which never change. The unfinished ones are `log_head.edge`.
CREATE TABLE log_tile (
    level  smallint NOT NULL,
    number bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (level, number)
);

-- Every checkpoint that was ever signed and committed.
CREATE TABLE log_checkpoint (
    size bigint PRIMARY KEY,
    note text NOT NULL
);

-- The next offset to take of each partition.
CREATE TABLE log_cursor (
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- One row. `epoch` is raised by each new writer, so that an old one finds itself replaced.
CREATE TABLE log_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    bigint NOT NULL DEFAULT 0,
    size     bigint NOT NULL DEFAULT 0,
    edge     bytea[] NOT NULL DEFAULT '{}',
    subjects bigint NOT NULL DEFAULT 0,
    vkey     text
);
INSERT INTO log_head DEFAULT VALUES;

CREATE FUNCTION log_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION log_subject_erases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.key IS NOT NULL OR (NEW.no, NEW.subject) IS DISTINCT FROM (OLD.no, OLD.subject) THEN
        RAISE EXCEPTION 'the only change of a subject is the destruction of its key'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION log_words_erases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM log_subject WHERE no = OLD.subject_no AND key IS NOT NULL) THEN
        RAISE EXCEPTION 'words go only after the key of their subject' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END $$;

CREATE FUNCTION log_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'log_cursor' THEN
        IF NEW.next_offset >= OLD.next_offset THEN RETURN NEW; END IF;
    ELSIF NEW.size >= OLD.size AND NEW.epoch >= OLD.epoch AND NEW.subjects >= OLD.subjects
          AND (OLD.vkey IS NULL OR NEW.vkey = OLD.vkey) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entry
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_tile
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_correlation
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON log_subject
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER erases BEFORE UPDATE ON log_subject
    FOR EACH ROW EXECUTE FUNCTION log_subject_erases();
CREATE TRIGGER stays BEFORE UPDATE OR TRUNCATE ON log_words
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER erases BEFORE DELETE ON log_words
    FOR EACH ROW EXECUTE FUNCTION log_words_erases();
CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON log_cursor
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER only_grows BEFORE UPDATE ON log_cursor
    FOR EACH ROW EXECUTE FUNCTION log_only_grows();
CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON log_head
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER only_grows BEFORE UPDATE ON log_head
    FOR EACH ROW EXECUTE FUNCTION log_only_grows();

-- migrate:down

DROP TABLE log_head, log_cursor, log_checkpoint, log_tile, log_words, log_entry, log_correlation, log_subject;
DROP FUNCTION log_refuses(), log_subject_erases(), log_words_erases(), log_only_grows();
