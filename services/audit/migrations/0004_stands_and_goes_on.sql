-- migrate:up

-- Why the log stands, by partition. A row is open until an operator resumes the log: `entry_index` is then that of
-- the `reset` entry. Who resumed it and why stays here: the entry is public, and has neither.
CREATE TABLE log_refusal (
    no          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    taken       bigint NOT NULL,
    "offset"    bigint NOT NULL,
    finding     text NOT NULL,
    refused_at  timestamptz NOT NULL,
    entry_index bigint,
    resumed_by  text,
    resumed_for text,
    resumed_at  timestamptz
);
CREATE UNIQUE INDEX log_refusal_open ON log_refusal (topic, partition) WHERE entry_index IS NULL;

-- The record before the cursor, by which the log is known again; only while `last_offset` is `next_offset` - 1.
-- `reset_index` is the entry that moved the cursor back.
ALTER TABLE log_cursor ADD COLUMN last_offset bigint, ADD COLUMN last_hash bytea, ADD COLUMN last_ms bigint,
    ADD COLUMN reset_index bigint;

-- Events that a later one has shown to be missing: the ordinals [first, "end") of a source about a subject.
-- `accepted`: who has given up on them, when and why; it alarms no longer.
CREATE TABLE log_gap (
    subject_no  bigint NOT NULL,
    source      text COLLATE "C" NOT NULL,
    first       bigint NOT NULL,
    "end"       bigint NOT NULL,
    entry_index bigint NOT NULL,
    opened_at   timestamptz NOT NULL,
    reported    boolean NOT NULL DEFAULT false,
    accepted    text,
    PRIMARY KEY (subject_no, source, first)
);
CREATE INDEX log_gap_unreported ON log_gap (opened_at) WHERE NOT reported;
CREATE INDEX log_gap_entry ON log_gap (entry_index);

CREATE FUNCTION log_refusal_closes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.entry_index IS NULL AND NEW.entry_index IS NOT NULL
       AND (NEW.no, NEW.topic, NEW.partition, NEW.taken, NEW.finding, NEW.refused_at)
           IS NOT DISTINCT FROM (OLD.no, OLD.topic, OLD.partition, OLD.taken, OLD.finding, OLD.refused_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the only change of a refusal is that it is resumed' USING ERRCODE = 'insufficient_privilege';
END $$;

-- A cursor goes back to where a `reset` entry says, and no other way.
CREATE OR REPLACE FUNCTION log_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'log_cursor' THEN
        IF NEW.next_offset >= OLD.next_offset THEN RETURN NEW; END IF;
        IF NEW.reset_index IS DISTINCT FROM OLD.reset_index AND EXISTS (
            SELECT FROM log_entry WHERE index = NEW.reset_index AND kind = 'reset'
            AND convert_from(entry, 'UTF8')::jsonb @> jsonb_build_object(
                'topic', NEW.topic, 'partition', NEW.partition, 'taken', OLD.next_offset, 'offset', NEW.next_offset)
        ) THEN RETURN NEW; END IF;
    ELSIF NEW.size >= OLD.size AND NEW.epoch >= OLD.epoch AND NEW.subjects >= OLD.subjects
          AND (OLD.vkey IS NULL OR NEW.vkey = OLD.vkey) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

-- A checkpoint follows from the entries below it, so an older one may go: what was published is in the world.
CREATE FUNCTION log_checkpoint_thins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM log_checkpoint WHERE size > OLD.size) THEN RETURN OLD; END IF;
    RAISE EXCEPTION 'the newest checkpoint stays' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON log_refusal
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER closes BEFORE UPDATE ON log_refusal
    FOR EACH ROW EXECUTE FUNCTION log_refusal_closes();
DROP TRIGGER append_only ON log_checkpoint;
CREATE TRIGGER stays BEFORE UPDATE OR TRUNCATE ON log_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE TRIGGER thins BEFORE DELETE ON log_checkpoint
    FOR EACH ROW EXECUTE FUNCTION log_checkpoint_thins();

-- migrate:down

DROP TRIGGER thins ON log_checkpoint;
DROP TRIGGER stays ON log_checkpoint;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION log_refuses();
CREATE OR REPLACE FUNCTION log_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'log_cursor' THEN
        IF NEW.next_offset >= OLD.next_offset THEN RETURN NEW; END IF;
    ELSIF NEW.size >= OLD.size AND NEW.epoch >= OLD.epoch AND NEW.subjects >= OLD.subjects
          AND (OLD.vkey IS NULL OR NEW.vkey = OLD.vkey) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
DROP TABLE log_gap, log_refusal;
DROP FUNCTION log_refusal_closes(), log_checkpoint_thins();
ALTER TABLE log_cursor DROP COLUMN last_offset, DROP COLUMN last_hash, DROP COLUMN last_ms, DROP COLUMN reset_index;
