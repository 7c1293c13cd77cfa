"""An erasure deletes the words from the core's own tables: outbox, parked events, dead letters."""

from collections.abc import AsyncIterator

import orjson
import pytest

from harness.schema import open_service_database
from shared.contracts.inquiry import (
    ContactRead,
    ContactStated,
    InquiryErased,
    InquiryReceived,
    InquiryWords,
    NoteWords,
)
from shared.contracts.routing import AssignmentReturned, CaseOffered, CaseReopened, CaseTriaged, ReplyAction
from shared.events.decoding import IncomingEvent
from shared.ids import new_id
from shared.inbox.handlers import Fault, Handlers, Results
from shared.inbox.parking import Parking
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.conftest import NOW, Source

WORDS = "紫色的长颈鹿"
MAIL = "zhang@example.org"
ERASED = InquiryErased(basis="citizen_request")


class Toy:
    """Handlers that fail while `broken`, and otherwise keep their events."""

    def __init__(self, database: Database) -> None:
        self.broken = True
        self.taken: list[IncomingEvent] = []  # type: ignore[type-arg]
        self.handlers = Handlers()
        for data_type in (InquiryReceived, InquiryErased, ContactStated, ReplyAction):
            self.handlers.on(data_type)(self._take)  # type: ignore[type-var]
        self.batches = PartitionBatchProcessor(database, "toy", self.handlers)
        self.parking = Parking(database, "toy", self.handlers)

    async def _take(self, _: Tx, events: list[IncomingEvent]) -> Results:  # type: ignore[type-arg]
        if self.broken:
            return [Fault("bad", f"not so: {WORDS}", permanent=True) for _ in events]
        self.taken += events
        return None


@pytest.fixture
def toy(routing: Database) -> Toy:
    return Toy(routing)


@pytest.fixture
async def inquiry(database: str, namespace: str) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "inquiry", namespace=namespace)
    yield opened
    await opened.pool.execute("TRUNCATE aggregate, outbox, outbox_aside")
    await opened.close()


async def holders(database: Database) -> list[str]:
    """The tables of the core that still contain the words or the address."""
    found = []
    for table in ("outbox", "outbox_aside", "parked_event", "parked_key", "dead_letter"):
        rows = await database.pool.fetch(f"SELECT * FROM {table}")
        cells = [cell for row in rows for cell in row.values()]
        raw = b"\n".join(c if isinstance(c, bytes) else str(c).encode() for c in cells)
        if WORDS.encode() in raw or MAIL.encode() in raw:
            found.append(table)
    return found


async def test_an_erasure_that_only_joins_its_parked_key_redacts_the_events_before_it(
    routing: Database, toy: Toy, source: Source
) -> None:
    case, other = new_id(NOW), new_id(NOW)
    source.received(case, title=WORDS)
    source.received(case, title=WORDS)
    source.received(other, title=WORDS)
    await toy.batches.process(source.records)
    assert await holders(routing) == ["parked_event", "dead_letter"]
    await toy.batches.process([source.fact(case, ERASED)])
    left = await routing.pool.fetch("SELECT key, words, erased FROM dead_letter ORDER BY id")
    assert [(row["key"], row["words"] is None, row["erased"]) for row in left] == [
        (case, True, True),
        (other, False, False),
    ]
    await routing.pool.execute("DELETE FROM dead_letter WHERE key = $1", other)
    await routing.pool.execute("DELETE FROM parked_event WHERE key = $1", other)
    assert await holders(routing) == []
    # In order, and with their data: only the words are missing.
    toy.broken = False
    await routing.pool.execute("UPDATE parked_key SET dead = false, next_attempt = '-infinity'")
    await toy.parking.once()
    assert [(e.event.sequence, e.words) for e in toy.taken] == [(f"{n:010d}", None) for n in (1, 2, 3)]
    assert [e.data for e in toy.taken][2] == ERASED


async def test_words_that_arrive_after_the_erasure_are_erased_at_once(
    routing: Database, toy: Toy, source: Source, namespace: str
) -> None:
    case = new_id(NOW)
    toy.broken = False
    await toy.batches.process([source.fact(case, ERASED)])
    toy.broken = True
    contacts = Source(f"{namespace}.contact.v1")
    late = ContactStated(name=WORDS, email=MAIL, number="1", inquiry=case)
    await toy.batches.process([contacts.fact(case, late, source="/services/inquiry/contacts")])
    await toy.batches.process([source.received(case, title=WORDS)])
    assert await routing.pool.fetchval("SELECT count(*) FROM dead_letter") == 2
    assert await holders(routing) == []


async def test_a_parked_contact_loses_the_person_and_is_applied_without(
    routing: Database, toy: Toy, source: Source, namespace: str
) -> None:
    case = new_id(NOW)
    contacts = Source(f"{namespace}.contact.v1")
    stated = ContactStated(name=WORDS, email=MAIL, phone="1", number="20261124-X", inquiry=case)
    await toy.batches.process([contacts.fact(case, stated, source="/services/inquiry/contacts")])
    assert await holders(routing) == ["parked_event", "dead_letter"]
    await toy.batches.process([source.fact(case, ERASED)])
    assert await holders(routing) == []
    toy.broken = False
    await routing.pool.execute("UPDATE parked_key SET dead = false, next_attempt = '-infinity'")
    await toy.parking.once()
    (kept,) = [event.data for event in toy.taken if isinstance(event.data, ContactStated)]
    assert kept == ContactStated(number="20261124-X", inquiry=case)


async def test_a_parked_action_loses_its_text_and_can_still_be_answered(
    routing: Database, toy: Toy, source: Source, namespace: str
) -> None:
    case = new_id(NOW)
    action = {
        "specversion": "1.0",
        "type": "civic.action.reply.v1",
        "id": "a-1",
        "source": "/water",
        "subject": case,
        "time": NOW,
        "comment": WORDS,
        "data": {"outcome": "solved", "text": WORDS, "internal_note": WORDS},
    }
    topic = f"{namespace}.department.water.actions.v1"
    await toy.batches.process([RawRecord(topic, 0, 0, 1_764_000_000_000, None, orjson.dumps(action))])
    await toy.batches.process([source.fact(case, ERASED)])
    assert await holders(routing) == []
    toy.broken = False
    await routing.pool.execute("UPDATE parked_key SET dead = false, next_attempt = '-infinity'")
    await toy.parking.once()
    assert [(e.id, e.data.outcome) for e in toy.taken if isinstance(e.data, ReplyAction)] == [
        ("a-1", "solved")
    ]


async def test_bytes_without_a_readable_key_are_redacted_by_their_record_key(
    routing: Database, toy: Toy, source: Source
) -> None:
    case = new_id(NOW)
    source.add(f"{{{WORDS}".encode(), key=case)
    await toy.batches.process(source.records)
    assert await holders(routing) == ["dead_letter"]
    await toy.batches.process([source.fact(case, ERASED)])
    assert await holders(routing) == []


async def test_an_offer_that_waits_for_its_topic_goes_out_without_words(
    routing: Database, toy: Toy, source: Source
) -> None:
    """Its sequence must stay, so that a reader of the topic sees the case offered and withdrawn."""
    case = new_id(NOW)
    offer = CaseOffered(
        number="1",
        role="lead",
        lead="water",
        kind="help",
        service_code="x",
        visibility="public",
        attempt=1,
        words=InquiryWords(title=WORDS, text=WORDS),
    )
    reopened = CaseReopened(number="1", cycle=2, reply_due=NOW, note=WORDS)
    returned = AssignmentReturned(unit="water", role="lead", reason="not_our_duty", action="a")
    async with routing.transaction([case]) as tx:
        tx.emit(offer, subject=case, unit="water")
        tx.emit(reopened, subject=case, unit="water")
        tx.emit(returned, subject=case, words=NoteWords(text=WORDS))
        tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=case)
    await routing.pool.execute(
        "WITH moved AS (DELETE FROM outbox WHERE topic LIKE '%.water.v1' RETURNING *)"
        " INSERT INTO outbox_aside (id, shard, topic, key, value, words, delivery)"
        " SELECT id, shard, topic, key, value, words, delivery FROM moved"
    )
    before = await routing.pool.fetch("SELECT value FROM outbox_aside ORDER BY id")
    assert await holders(routing) == ["outbox", "outbox_aside"]
    toy.broken = False
    await toy.batches.process([source.fact(case, ERASED)])
    assert await holders(routing) == []
    after = await routing.pool.fetch("SELECT value FROM outbox_aside ORDER BY id")
    gone: tuple[str, ...] = ("words", "note")
    for was, now in zip(before, after, strict=True):
        expected = orjson.loads(was["value"])
        expected["data"] = {name: value for name, value in expected["data"].items() if name not in gone}
        assert list(orjson.loads(now["value"]).items()) == list(expected.items())
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 2


async def test_the_service_that_erases_redacts_its_own_outbox(
    inquiry: Database,
) -> None:
    case, other = new_id(NOW), new_id(NOW)
    read = ContactRead(purpose="call_back", reader="clerk:li")
    async with inquiry.transaction([case, other]) as tx:
        for subject in (case, other):
            tx.emit(read, subject=subject, words=NoteWords(text=WORDS))
        tx.emit(
            ContactStated(email=MAIL, number="1", inquiry=case),
            subject=case,
            source="/services/inquiry/contacts",
        )
    async with inquiry.transaction([case]) as tx:
        tx.emit(ERASED, subject=case)
    rows = await inquiry.pool.fetch("SELECT key, words FROM outbox ORDER BY id")
    assert [row["key"] for row in rows if row["words"] is not None] == [other]
    await inquiry.pool.execute("DELETE FROM outbox WHERE key = $1", other)
    assert await holders(inquiry) == []
    assert await inquiry.pool.fetchval("SELECT count(*) FROM outbox") == 3
