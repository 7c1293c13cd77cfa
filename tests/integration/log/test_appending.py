"""Every record becomes one entry, whatever it is and however often it comes."""

import asyncio

import asyncpg
import orjson
import pytest

from services.audit.log.entry import commitment, salted_commitment
from services.audit.log.parsing import ERASED, prepare_ahead
from services.audit.log.subjects import Subject
from tests.integration.log.conftest import KEYS, Topic, append, entries, open_log

pytestmark = pytest.mark.integration


async def test_a_record_becomes_an_entry(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    record = topic.event("subject", 1)
    appended = await append(sequencer, record)
    assert (appended.first, appended.size) == (0, 1)
    [entry] = await entries(connection)
    assert entry["commitment"] == commitment(record.value or b"")
    assert (entry["kind"], entry["source"], entry["sequence"]) == ("event", "/services/inquiry", 1)
    assert "subject" not in str(entry["subject"])


async def test_the_next_batch_can_be_prepared_while_one_is_appended(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    first = await prepare_ahead([topic.event("subject", n) for n in range(1, 201)])
    _, second = await asyncio.gather(
        sequencer.append(first), prepare_ahead([topic.event("subject", n) for n in range(201, 301)])
    )
    assert (await sequencer.append(second)).size == 300


async def test_a_record_that_is_read_twice_is_logged_once(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    records = [topic.event("subject", n) for n in (1, 2, 3)]
    await append(sequencer, *records[:2])
    appended = await append(sequencer, *records)
    assert (appended.first, appended.size) == (2, 3)
    reopened = await open_log(connection)
    assert (await append(reopened, *records)).size == 3
    assert reopened.next_offset(topic.name, 0) == 3
    assert reopened.next_offset(topic.name, 1) is None


async def test_a_producers_second_sending_is_dropped_within_and_across_batches(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    value = topic.event("subject", 1).value
    appended = await append(sequencer, topic.record(value), topic.record(value))
    assert (appended.size, appended.duplicates) == (1, 1)
    appended = await append(sequencer, topic.record(value))
    assert (appended.size, appended.duplicates) == (1, 1)
    assert sequencer.next_offset(topic.name, 0) == topic.offset


async def test_another_value_at_a_known_place_is_an_incident_that_names_the_first(
    connection: asyncpg.Connection,
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    second, third = topic.event("subject", 1), topic.event("subject", 1)
    appended = await append(sequencer, second, third)
    assert (appended.size, appended.incidents) == (3, 2)
    appended = await append(sequencer, topic.record(second.value), topic.record(third.value))
    assert (appended.size, appended.duplicates) == (3, 2)
    found = await entries(connection)
    assert [(entry["kind"], entry.get("first")) for entry in found] == [
        ("event", None),
        ("incident", 0),
        ("incident", 0),
    ]


async def test_the_same_sequence_of_another_source_epoch_or_subject_is_an_event_of_its_own(
    connection: asyncpg.Connection,
) -> None:
    sequencer, inquiry, routing = await open_log(connection), Topic("inquiry"), Topic("routing")
    appended = await append(
        sequencer,
        inquiry.event("subject", 1),
        inquiry.event("other", 1),
        inquiry.event("subject", 1, epoch=2),
        routing.event("subject", 1),
    )
    assert (appended.size, appended.incidents) == (4, 0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\xfe not UTF-8",
        b"[]",
        b'{"id": 1}',
        orjson.dumps({"type": "civic.inquiry.noted.v1", "source": "/services/inquiry"}),
    ],
)
async def test_what_nobody_understands_is_logged_and_can_be_opened(
    connection: asyncpg.Connection, value: bytes | None
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    appended = await append(sequencer, topic.record(value), topic.event("subject", 1))
    assert (appended.size, appended.unparseable) == (2, 1)
    first, _ = await entries(connection)
    row = await connection.fetchrow(
        """SELECT s.no, s.subject, s.key, w.sealed
        FROM log_words w JOIN log_subject s ON s.no = w.subject_no WHERE index = 0"""
    )
    assert row is not None
    opened = Subject(row["no"], KEYS.unwrap(row["subject"], row["key"])).unseal(0, row["sealed"])
    assert opened[16:] == (value or b"")
    assert first["commitment"] == salted_commitment(opened[:16], value or b"")
    assert set(first) == {"v", "kind", "time", "topic", "partition", "offset", "commitment"}


@pytest.mark.parametrize(
    "attributes",
    [
        {"source": "/services/routing"},
        {"source": "/services/inquiry/people/jane"},
        {"type": "civic.Jane Doe.v1"},
        {"salt": "short"},
        {"sequence": "1"},
        {"epoch": -1},
        {"id": "not-a-uuid"},
        {"subject": "\0"},
    ],
)
async def test_an_event_that_would_publish_what_it_must_not_is_unparseable(
    connection: asyncpg.Connection, attributes: dict[str, object]
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    assert (await append(sequencer, topic.event("subject", 1, **attributes))).unparseable == 1


async def test_a_reopened_log_knows_its_subjects_places_and_erasures(connection: asyncpg.Connection) -> None:
    topic = Topic()
    known, erased = topic.event("known", 2), topic.event("gone", 1, type=ERASED)
    await append(await open_log(connection), known, erased)
    appended = await append(
        await open_log(connection),
        topic.record(known.value),
        topic.event("known", 2),
        topic.event("known", 1),
        topic.record(erased.value),
        topic.event("gone", 2, b'{"salt":"a"}'),
    )
    assert (appended.size, appended.duplicates, appended.incidents, appended.late) == (5, 2, 1, 1)
    first, _, incident, late, after = await entries(connection)
    assert (incident["kind"], incident["first"]) == ("incident", 0)
    assert (late["kind"], late["sequence"], late["subject"]) == ("event", 1, first["subject"])
    assert "subject" not in after
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 0


async def test_what_a_log_that_was_begun_late_never_saw_is_no_loss_and_what_it_misses_later_is(
    connection: asyncpg.Connection,
) -> None:
    topic, fresh = Topic(), Topic(partition=1)
    topic.offset = 40
    appended = await append(await open_log(connection), topic.event("old", 7), fresh.event("new", 3))
    assert [(gap.entry, gap.sequences) for gap in appended.sequence_gaps] == [(1, "1 to 2")]
    again = await open_log(connection)
    appended = await append(again, topic.event("older", 9), topic.event("old", 9), topic.event("old", 10))
    assert [(gap.entry, gap.sequences) for gap in appended.sequence_gaps] == [(3, "8")]
    assert (await append(again, topic.event("old", 20, epoch=2))).sequence_gaps == ()
