-- migrate:up

-- What each statement reads must grow with its answer and not with what waits.

-- Begins with the shard, so that a relay reads its own rows only, however many a stopped relay has left.
ALTER TABLE outbox DROP CONSTRAINT outbox_pkey, ADD PRIMARY KEY (shard, id);
-- For an erasure. Measured: 1 us per event, of 4 for its insertion; the relay's part does not change.
CREATE INDEX outbox_key ON outbox (key);
CREATE INDEX outbox_paused_key ON outbox_aside (key);

-- Machine time of the writer. Null: written by a release before this column. No default, so nothing is rewritten.
ALTER TABLE outbox ADD COLUMN written_at timestamptz;
ALTER TABLE outbox_aside ADD COLUMN written_at timestamptz;
CREATE INDEX outbox_paused_age ON outbox_aside (written_at);

-- Both are read from the end at which rows are deleted, so what is dead there is passed at each look: 200,000 dead
-- timers cost a look 50 to 100 ms, which is where the default (a fifth of a million) would begin to clear them.
ALTER TABLE outbox_aside SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE timer SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);

-- Deadline checks apart: while none may fire they are not read. `due` too, since thousands may be due at one moment.
DROP INDEX timer_fires;
CREATE INDEX timer_due ON timer (fires_at, due) WHERE NOT judges;
CREATE INDEX timer_due_checks ON timer (fires_at, due) WHERE judges;

-- In the collation of timer.aggregate: an index in another one does not serve the comparison.
DROP INDEX parked_key_key;
CREATE INDEX parked_key_key ON parked_key (key COLLATE "C");

-- One consumer must not read past what another one has parked.
DROP INDEX parked_key_due;
CREATE INDEX parked_key_due ON parked_key (consumer, next_attempt) WHERE NOT dead;
CREATE INDEX dead_letter_waiting ON dead_letter (consumer) WHERE resolution IS NULL;
-- Hashed, since a foreign key may be longer than an entry of an ordered index.
CREATE INDEX dead_letter_record_key ON dead_letter USING hash (record_key) WHERE key IS NULL;

-- migrate:down
ALTER TABLE timer RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
ALTER TABLE outbox_aside RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay
);
DROP INDEX dead_letter_record_key, dead_letter_waiting, parked_key_due, timer_due_checks, timer_due;
CREATE INDEX parked_key_due ON parked_key (next_attempt) WHERE NOT dead;
DROP INDEX parked_key_key;
CREATE INDEX parked_key_key ON parked_key (key);
CREATE INDEX timer_fires ON timer (fires_at);
DROP INDEX outbox_paused_age, outbox_paused_key, outbox_key;
ALTER TABLE outbox_aside DROP COLUMN written_at;
ALTER TABLE outbox DROP COLUMN written_at, DROP CONSTRAINT outbox_pkey, ADD PRIMARY KEY (id);
