"""An installation with parked events and dead letters is upgraded in place."""

from shared.contracts.inquiry import InquiryReceived
from shared.events.decoding import IncomingEvent
from shared.inbox.dead_letters import DeadLetters
from shared.inbox.handlers import Handlers, Results
from shared.inbox.parking import Parking
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.migrate import CORE
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.conftest import Source

KEY = "01a20b31-b3bb-7773-a1b2-3eb064159e46"


async def test_parked_events_keep_their_order_and_their_dead_letter(
    routing: Database, source: Source
) -> None:
    up, _, down = (CORE / "00010_arrival.sql").read_text().partition("-- migrate:down")
    await routing.pool.execute(down)
    records = [source.received(KEY) for _ in range(12)]
    # In an order of its own on disk, and with two-digit offsets.
    for record in (*records[6:], *records[:6]):
        await routing.pool.execute(
            "INSERT INTO parked_event VALUES ('toy', $1, $2, 0, $3, 0, NULL, $4, $5)",
            record.topic,
            KEY,
            record.offset,
            record.value,
            record.header("words"),
        )
    await routing.pool.execute(
        "INSERT INTO parked_key VALUES ('toy', $1, $2, 'e', 8, '-infinity', true)", source.topic, KEY
    )
    await routing.pool.execute(
        'INSERT INTO dead_letter (consumer, topic, partition, "offset", appended_ms, key, value, error,'
        " detail, attempts, recorded_at) VALUES ('toy', $1, 0, 0, 0, $2, $3, 'e', '', 8, '2026-11-24')",
        source.topic,
        KEY,
        records[0].value,
    )
    await routing.pool.execute(up)
    seen: list[int] = []
    handlers = Handlers()

    @handlers.on(InquiryReceived)
    async def take(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        seen.extend(int(event.event.sequence or 0) for event in events)
        return None

    later = source.received(KEY)
    await PartitionBatchProcessor(routing, "toy", handlers).process([later], start=0)
    (letter,) = await DeadLetters(routing).list()
    assert (letter.waiting, letter.records, letter.last_offset) == (13, 1, None)
    await DeadLetters(routing).replay(letter.id, "me")
    assert await Parking(routing, "toy", handlers).once() == 1
    assert seen == list(range(1, 14))
