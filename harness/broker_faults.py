"""What happens to a broker by an operator's hand, its disk and its retention."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete

from harness.installation import Installation
from harness.schema import make_topics
from shared.contracts.addresses import topic_name
from shared.kafka.client import Reader
from shared.kafka.records import Partition
from shared.settings import ServiceName


class Broker(Protocol):
    """A broker of our own, with its folder."""

    data_dir: Path

    def kill(self) -> None: ...

    def start(self) -> object: ...


class BrokerFaults:
    """Faults of the broker's data under a running installation. `broker` is needed by `rewind` alone."""

    def __init__(self, installation: Installation, broker: Broker | None = None) -> None:
        self._installation = installation
        self._broker = broker

    def topic(self, logical: str, unit: str | None = None) -> str:
        return topic_name(self._installation.namespace, logical, unit)

    async def make_again(self, topics: Sequence[str], *, away_seconds: float = 3) -> None:
        """Topics are deleted and, after a while, made again as `topics apply` makes them."""
        client = await self._admin()
        try:
            await client.delete_topics(list(topics))
            await asyncio.sleep(away_seconds)
            async with asyncio.timeout(30):
                while not await self._all_there(client, topics):
                    await make_topics(
                        self._installation.access, self._installation.namespace, self._installation.units
                    )
                    await asyncio.sleep(0.5)
        finally:
            await client.close()

    async def widen(self, topic: str, partitions: int) -> None:
        """`kafka-topics --alter --partitions`, by somebody who has not read the manual."""
        client = await self._admin()
        try:
            await client.create_partitions({topic: NewPartitions(partitions)})
        finally:
            await client.close()

    async def delete_up_to_the_end(self, topic: str) -> int:
        """Retention takes all that is on a topic now; how many offsets those are."""
        ends = await self.ends(topic)
        client = await self._admin()
        try:
            await client.delete_records(
                {TopicPartition(*one): RecordsToDelete(before_offset=end) for one, end in ends.items()}
            )
        finally:
            await client.close()
        return sum(ends.values())

    def keep_a_copy(self) -> None:
        """Copies the broker's folder, with the broker stopped for that moment."""
        broker = self._required()
        broker.kill()
        shutil.rmtree(broker.data_dir / "older", ignore_errors=True)
        shutil.copytree(broker.data_dir / "log", broker.data_dir / "older")
        broker.start()

    def rewind(self) -> None:
        """The broker comes back with the folder of `keep_a_copy`: a power cut has taken all since then."""
        broker = self._required()
        broker.kill()
        shutil.rmtree(broker.data_dir / "log")
        (broker.data_dir / "older").rename(broker.data_dir / "log")
        broker.start()

    def stop_readers(self, *services: ServiceName) -> None:
        """SIGKILL to all copies of some services."""
        for copy in self._installation.copies:
            if copy.service in services:
                self._installation.kill(copy.service, copy.number)

    def start_readers(self, *services: ServiceName) -> None:
        for copy in self._installation.copies:
            if copy.service in services:
                self._installation.start(copy.service, copy.number)

    async def ends(self, topic: str) -> dict[Partition, int]:
        """The end offset of every partition of a topic."""
        reader = Reader(self._installation.access, "ends", [topic])
        await reader.start({})
        try:
            return await reader.ends()
        finally:
            await reader.stop()

    def _required(self) -> Broker:
        assert self._broker is not None, "this fault needs a broker of the run's own"  # noqa: S101
        return self._broker

    async def _admin(self) -> Any:
        client = AIOKafkaAdminClient(**self._installation.access.options(), request_timeout_ms=15_000)
        await client.start()
        return client

    @staticmethod
    async def _all_there(client: Any, topics: Sequence[str]) -> bool:
        return set(topics) <= set(await client.list_topics())
