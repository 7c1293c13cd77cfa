"""Units' topics on a real broker: made, filled, deleted and read by a consumer that only remembers."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from shared.contracts.addresses import topic_name
from shared.contracts.routing import SignAction
from shared.events.decoding import IncomingEvent
from shared.inbox.consumer import Consumer
from shared.inbox.handlers import Handlers, Results
from shared.kafka_access import KafkaAccess
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.waiting import running, until

_numbers = itertools.count(1)


def signing(id_: str, subject: str = "case-1") -> bytes:
    return (
        f'{{"specversion":"1.0","id":"{id_}","source":"/unit","type":"civic.action.sign.v1",'
        f'"subject":"{subject}","time":"2026-11-24T08:00:00Z","data":{{}}}}'
    ).encode()


@dataclass
class Actions:
    """One topic, its writer, and what its reader has applied: the ids of the actions, in order."""

    reader: Database
    access: KafkaAccess
    admin: AIOKafkaAdminClient
    producer: AIOKafkaProducer
    topic: str
    partitions: int = 1
    configs: dict[str, str] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)

    def consumer(self) -> Consumer:
        handlers = Handlers()

        @handlers.on(SignAction)
        async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
            self.applied.extend(event.event.id for event in events)
            return None

        return Consumer(self.reader, handlers, name=self.topic, topics=[self.topic])

    async def create(self) -> None:
        new = NewTopic(
            self.topic,
            num_partitions=self.partitions,
            replication_factor=1,
            topic_configs={"message.timestamp.type": "LogAppendTime", **self.configs},
        )

        async def created() -> bool:
            # Also "marked for deletion", for a moment after `delete`.
            answer = await self.admin.create_topics([new])
            return bool(answer.topic_errors[0][1] == 0)

        await until(created)

    async def recreate(self) -> None:
        await self.admin.delete_topics([self.topic])
        await self.create()

    async def send(self, ids: Sequence[str], *, partition: int = 0, subject: str | None = "case-1") -> None:
        """Appends the actions, of one case or, without a subject, each of a case of its own.

        A client that knew a deleted topic of that name is not used.
        """
        async with AIOKafkaProducer(**self.access.options()) as producer:
            sent = [
                await producer.send(
                    self.topic,
                    signing(one, subject or one),
                    key=(subject or one).encode(),
                    partition=partition,
                )
                for one in ids
            ]
            await asyncio.gather(*sent)

    async def delete_before(self, offset: int) -> None:
        await self.admin.delete_records({TopicPartition(self.topic, 0): RecordsToDelete(offset)})

    async def cursor(self, partition: int = 0) -> dict[str, Any]:
        row = await self.reader.pool.fetchrow(
            "SELECT * FROM cursor WHERE topic = $1 AND partition = $2", self.topic, partition
        )
        return dict(row) if row else {}

    async def losses(self) -> list[tuple[str, int, int]]:
        rows = await self.reader.pool.fetch(
            "SELECT kind, from_offset, to_offset FROM topic_loss WHERE topic = $1 AND seen_at IS NULL",
            self.topic,
        )
        return [tuple(row) for row in rows]

    @asynccontextmanager
    async def reading(self, *ids: str) -> AsyncIterator[Consumer]:
        """A reader beside the body, once it has applied `ids` and has nothing left to read."""
        consumer = self.consumer()
        async with running(consumer.run):
            await until(lambda: consumer.lag() == 0 and set(ids) <= set(self.applied), f"{ids} applied")
            yield consumer


@asynccontextmanager
async def actions(
    reader: Database, access: KafkaAccess, *, partitions: int = 1, **configs: str
) -> AsyncIterator[Actions]:
    admin = AIOKafkaAdminClient(**access.options())
    await admin.start()
    try:
        async with AIOKafkaProducer(**access.options()) as producer:
            topic = topic_name(reader.settings.topic_namespace, "actions", f"unit{next(_numbers)}")
            made = Actions(reader, access, admin, producer, topic, partitions, configs)
            await made.create()
            yield made
    finally:
        await admin.close()
