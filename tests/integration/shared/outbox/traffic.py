"""What tests of a topic's width send and read; a reader keeps what it applied, in order."""

from typing import Any

from harness.schema import open_service_database
from shared.contracts.routing import CaseTriaged
from shared.events.decoding import IncomingEvent
from shared.inbox.consumer import Consumer
from shared.inbox.handlers import Handlers, Results
from shared.kafka.client import Producer, PublishResult, Reader
from shared.kafka_access import KafkaAccess
from shared.outbox.relay import Relay
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.waiting import running, until

KEYS = [f"key-{n}" for n in range(24)]


class ByLiveMetadata(Producer):
    """The mechanism off: keys are hashed over as many partitions as the broker has at the moment."""

    async def publish(self, *args: Any, **_: Any) -> PublishResult:
        return await super().publish(*args)


async def open_reader(database: str, namespace: str, access: KafkaAccess) -> Database:
    opened = await open_service_database(database, "inquiry", namespace=namespace, access=access)
    await opened.pool.execute("CREATE TABLE IF NOT EXISTS applied (n serial, subject text, sequence int)")
    return opened


async def emit(database: Database, count: int) -> None:
    for _ in range(count):
        async with database.transaction(KEYS) as tx:
            for key in KEYS:
                tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=key)


async def send_all(database: Database, relay: Relay) -> None:
    """Sends until the outbox is empty: what is left waits for a paused topic."""
    while await database.pool.fetchval("SELECT count(*) FROM outbox"):
        await relay.once()


def counting() -> Handlers:
    handlers = Handlers()

    @handlers.on(CaseTriaged)
    async def count(tx: Tx, events: list[IncomingEvent[CaseTriaged]]) -> Results:
        await tx.connection.execute(
            "INSERT INTO applied (subject, sequence) SELECT * FROM unnest($1::text[], $2::int[])",
            [event.subject for event in events],
            [int(event.event.sequence or 0) for event in events],
        )
        return None

    return handlers


async def applied(reader: Database) -> dict[str, list[int]]:
    rows = await reader.pool.fetch("SELECT subject, array_agg(sequence ORDER BY n) s FROM applied GROUP BY 1")
    return {row["subject"]: row["s"] for row in rows}


async def ends(access: KafkaAccess, topic: str) -> list[int]:
    """The end offset of each partition that the topic has."""
    reader = Reader(access, "test", [topic])
    await reader.start({})
    try:
        found = await reader.ends()
    finally:
        await reader.stop()
    return [end for _, end in sorted(found.items())]


async def read_to_the_end(consumer: Consumer, reader: Database, at_least: int) -> dict[str, list[int]]:
    """Runs the consumer until it has read all there is, but `at_least` that many events; what it applied."""
    async with running(consumer.run):

        async def at_rest() -> bool:
            count = await reader.pool.fetchval("SELECT count(*) FROM applied")
            return consumer.lag() == 0 and count >= at_least

        await until(at_rest)
    return await applied(reader)


async def stop(relay: Relay) -> None:
    await relay._release()
    await relay._producer.stop()
