"""What stands goes on by an entry of its own, which any reader finds; what comes late closes its gap."""

import datetime as dt
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.audit import queries as readers
from services.audit.log import queries
from services.audit.log.continuity import Cursor, LogRefused, OffsetGap, Refusal
from services.audit.log.files import LogFiles
from services.audit.log.publish import publish
from services.audit.log.reset import NotResettable, Reset
from services.audit.log.resume import record_reset, resume
from services.audit.log.verify import verify
from shared.clock import machine_now
from shared.errors import Stale
from shared.kafka.fingerprint import fingerprint
from shared.kafka.records import RawRecord
from tests.integration.log.conftest import SIGNER, Topic, append, connect, empty_log, entries, open_log

pytestmark = pytest.mark.integration


async def refuse(connection: asyncpg.Connection, topic: Topic, taken: int, offset: int) -> None:
    refusal = Refusal(topic.name, topic.partition, taken, offset, "is another log")
    await queries.keep_refusals(connection, [refusal], machine_now())


async def test_a_refusal_is_found_by_every_later_start_until_it_is_resumed(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    await refuse(connection, topic, 1, 0)
    await refuse(connection, topic, 1, 7)  # the first reason stays
    for _ in range(3):
        with pytest.raises(LogRefused, match=r"t\.inquiry\.v1/0 is another log: `civicloom audit resume"):
            await open_log(connection)
    resumed = await resume(connection, (topic.name, 0), operator="ann", reason="a power cut")
    assert resumed == (Reset(topic.name, 0, taken=1, offset=0), 1)
    again = await open_log(connection)
    assert again.cursors == {(topic.name, 0): Cursor(0, 0)}
    row = await connection.fetchrow("SELECT entry_index, resumed_by, resumed_for FROM log_refusal")
    assert row is not None
    assert tuple(row) == (1, "ann", "a power cut")


async def test_the_writer_that_runs_is_replaced_and_its_next_batch_writes_nothing(
    connection: asyncpg.Connection, database: str, schema: str
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    await refuse(connection, topic, 1, 0)
    other = await connect(database, schema)
    await resume(other, (topic.name, 0), operator="ann", reason="x")
    with pytest.raises(Stale):
        await append(sequencer, topic.event("subject", 2))
    assert [entry["kind"] for entry in await entries(connection)] == ["event", "reset"]
    await other.close()


async def test_what_is_not_refused_is_not_resumed_and_its_writer_left_in_peace(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    assert await resume(connection, (topic.name, 0), operator="ann", reason="x") is None
    with pytest.raises(NotResettable, match="the log has never read"):
        await resume(connection, (topic.name, 9), operator="ann", reason="x")
    assert (await append(sequencer, topic.event("subject", 2))).size == 2


async def test_after_a_reset_a_second_sending_is_none_and_another_value_is_an_incident(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    known = [topic.event("subject", n) for n in (1, 2)]
    await append(sequencer, *known)
    await record_reset(connection, Reset(topic.name, 0, 2, 0), operator="restore", reason="a backup")
    topic.offset = 0
    again = await open_log(connection)
    appended = await append(
        again, topic.record(known[0].value), topic.event("subject", 2), topic.event("subject", 3)
    )
    assert (appended.duplicates, appended.incidents, appended.size) == (1, 1, 5)
    found = await entries(connection)
    assert [entry["kind"] for entry in found] == ["event", "event", "reset", "incident", "event"]
    assert await connection.fetchval("SELECT count(*) FROM log_refusal") == 0


async def test_an_unparseable_record_that_is_read_again_is_known_and_another_one_at_its_offset_is_not(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    known = [topic.record(b"no JSON"), topic.record(None)]
    await append(sequencer, *known)
    await record_reset(connection, Reset(topic.name, 0, 2, 0), operator="ann", reason="x")
    again = await open_log(connection)
    other = RawRecord(topic.name, 0, 2, known[0].timestamp_ms, None, b"no JSON")
    appended = await append(again, *known, other)
    assert (appended.duplicates, appended.unparseable, appended.size) == (2, 1, 4)
    await record_reset(connection, Reset(topic.name, 0, 3, 0), operator="ann", reason="x")
    other = RawRecord(topic.name, 0, 0, known[0].timestamp_ms, None, b"other bytes")
    assert (await append(await open_log(connection), other, known[1])).unparseable == 1


async def test_a_reset_must_begin_where_the_cursor_is_and_leaves_nothing_behind_if_it_does_not(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    with pytest.raises(NotResettable, match="is logged up to 1, not 7"):
        await record_reset(connection, Reset(topic.name, 0, 7, 0), operator="restore", reason="x")
    assert (await append(sequencer, topic.event("subject", 2))).size == 2
    # Forward, where a restore continues behind what others have lost; and a partition that was never read.
    await record_reset(connection, Reset(topic.name, 0, 2, 9), operator="restore", reason="x")
    await record_reset(connection, Reset(topic.name, 5, 0, 3), operator="restore", reason="x")
    assert {place: cursor.next for place, cursor in (await open_log(connection)).cursors.items()} == {
        (topic.name, 0): 9,
        (topic.name, 5): 3,
    }


async def test_a_cursor_goes_back_only_to_where_a_reset_says(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1), topic.event("subject", 2))
    await record_reset(connection, Reset(topic.name, 0, 2, 1), operator="ann", reason="x")
    for statement in (
        "UPDATE log_cursor SET next_offset = 0",
        "UPDATE log_cursor SET next_offset = 0, reset_index = 2",  # the reset of that index says 1
        "UPDATE log_cursor SET next_offset = 0, reset_index = 0",  # no reset
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_oversight_reads_a_reset(connection: asyncpg.Connection) -> None:
    await open_log(connection)
    await record_reset(connection, Reset("t.inquiry.v1", 3, 0, 9), operator="ann", reason="x")
    pool = connection
    [entry] = await readers.entries_from(pool, 0, 10)
    assert (entry.kind, entry.event, entry.reset) == ("reset", None, Reset("t.inquiry.v1", 3, 0, 9))
    assert entry.as_json()["reset"] == {"topic": "t.inquiry.v1", "partition": 3, "taken": 0, "offset": 9}
    assert await readers.newest_entries(pool, 100, 10) == [entry]
    assert await readers.entries_of_subject(pool, entry.subject, 0, 10) == [entry]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(0, 40) | st.just("reset") | st.just("publish"), min_size=1, max_size=8))
async def test_however_often_it_is_reset_the_verifier_accepts_the_log_and_names_each_reset(
    database: str, tmp_path_factory: pytest.TempPathFactory, steps: list[int | str]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    files, topic, number, resets = LogFiles(folder), Topic(), 0, []
    async with empty_log(database) as schema:
        connection = await connect(database, schema)
        sequencer = await open_log(connection)
        for step in [*steps, "reset", 3, "publish"]:
            if step == "reset":
                reset = Reset(topic.name, 0, topic.offset, topic.offset // 2)
                index = await record_reset(connection, reset, operator="ann", reason="x")
                resets.append((index, reset))
                topic.offset = reset.offset
                sequencer = await open_log(connection, files.checkpoint())
            elif step == "publish":
                await publish(connection, files, SIGNER)
                report = verify(folder, SIGNER.verifier.vkey)
                assert (report.failure, list(report.resets)) == (None, resets)
            else:
                events = [topic.event("subject", number + n) for n in range(1, int(step) + 1)]
                number += len(events)
                await append(sequencer, *events)
        assert report.entries == number + len(resets)
        await connection.close()


async def test_of_checkpoints_only_the_newest_published_one_stays(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    # As an older release left them: one for each batch.
    for size in range(1, 1500):
        await queries.insert_checkpoint(connection, -size, "never published")
    for number in range(1, 61):
        await append(sequencer, topic.event("subject", number))
        if number % 20 == 0:
            assert await publish(connection, files, SIGNER) == number
    assert [row["size"] for row in await connection.fetch("SELECT size FROM log_checkpoint")] == [60]
    assert verify(tmp_path, SIGNER.verifier.vkey).ok


async def test_entries_that_were_changed_behind_the_committed_root_are_not_signed(
    connection: asyncpg.Connection, files: LogFiles
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1), topic.event("subject", 2))
    await connection.execute(
        """ALTER TABLE log_entry DISABLE TRIGGER append_only;
        UPDATE log_entry SET entry = set_bit(entry, 77, 1 - get_bit(entry, 77)) WHERE index = 1"""
    )
    with pytest.raises(Exception, match="another root than was committed"):
        await publish(connection, files, SIGNER)
    assert files.checkpoint() is None


# ---- gaps ----

HOUR = dt.timedelta(hours=1)


async def gaps(connection: asyncpg.Connection) -> list[tuple[str, str]]:
    rows = await queries.report_gaps(connection, machine_now() + HOUR, 100)
    return sorted((subject, gap.sequences) for subject, gap in rows)


async def test_what_comes_late_is_logged_and_closes_its_gap(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    events = {n: topic.event("subject", n) for n in range(1, 8)}
    await append(sequencer, topic.record(events[1].value), topic.record(events[7].value))
    assert await queries.missing_events(connection, machine_now() + HOUR) == 5
    assert await queries.missing_events(connection, machine_now() - HOUR) == 0  # not for an hour yet
    sequencer = await open_log(connection)
    appended = await append(sequencer, *(topic.record(events[n].value) for n in (4, 4, 7, 1)))
    assert (appended.late, appended.duplicates, appended.incidents) == (1, 3, 0)
    assert await gaps(connection) == [("subject", "2 to 3"), ("subject", "5 to 6")]
    assert await gaps(connection) == []  # each is reported once
    appended = await append(sequencer, *(topic.record(events[n].value) for n in (6, 2, 5, 3)))
    assert (appended.late, appended.incidents) == (4, 0)
    assert await queries.missing_events(connection, machine_now() + HOUR) == 0
    assert await connection.fetchval("SELECT count(*) FROM log_gap") == 0


async def test_a_gap_that_is_closed_in_the_batch_that_opens_it_is_never_kept(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    appended = await append(sequencer, *(topic.event("subject", n) for n in (3, 1, 2, 5, 4)))
    assert (appended.size, appended.late) == (5, 3)
    assert await connection.fetchval("SELECT count(*) FROM log_gap") == 0


async def test_gaps_of_an_erased_subject_and_of_others_are_kept_apart(connection: asyncpg.Connection) -> None:
    sequencer, one, two = await open_log(connection), Topic("inquiry"), Topic("routing")
    await append(sequencer, one.event("a", 3), two.event("a", 2), one.event("b", 2))
    assert await gaps(connection) == [("a", "1"), ("a", "1 to 2"), ("b", "1")]
    await append(sequencer, one.event("a", 1), one.event("a", 2))
    rows = await connection.fetch("SELECT subject, source FROM log_gap JOIN log_subject ON no = subject_no")
    assert sorted(tuple(row) for row in rows) == [("a", "/services/routing"), ("b", "/services/inquiry")]


# ---- what the broker deleted ----


async def test_a_cursor_is_moved_over_what_the_broker_deleted_once(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    record = topic.event("subject", 1)
    await append(sequencer, record)
    assert sequencer.cursors == {(topic.name, 0): Cursor(0, 1, fingerprint(record))}
    await sequencer.skip([OffsetGap(topic.name, 0, 1, 9)])
    assert (await open_log(connection)).cursors == sequencer.cursors == {(topic.name, 0): Cursor(0, 9)}
