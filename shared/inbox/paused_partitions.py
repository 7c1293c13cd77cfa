"""Keeps a Kafka client from reading partitions that are paused in the table (`shared.inbox.floods`)."""

from typing import Any

from aiokafka import TopicPartition

from shared.inbox.floods import paused_partitions
from shared.infrastructure import is_passing
from shared.kafka.records import Partition
from shared.logs import get_logger
from shared.metrics import PARTITION_PAUSED
from shared.unit_of_work.database import Database

log = get_logger(__name__)


class PausedPartitions:
    """Those of one consumer, whichever replica reads them. `topics` are their topics, sorted."""

    def __init__(self, database: Database, consumer: str) -> None:
        self._database = database
        self._consumer = consumer
        self._paused: set[Partition] = set()
        # Partitions may be paused for other reasons too: only those of ours are resumed.
        self._held: set[Partition] = set()

    @property
    def topics(self) -> list[str]:
        return sorted({topic for topic, _ in self._paused})

    def hold(self, client: Any, partition: Partition) -> None:
        """Stops reading the partition until `refresh` finds that its pause is over."""
        if client is not None and partition in client.assignment():
            client.pause(TopicPartition(*partition))
            self._held.add(partition)

    async def refresh(self, client: Any) -> None:
        """Holds what is paused, reads on what no longer is, and sets the metric.

        A database that is away changes nothing.
        """
        if client is None:
            return
        try:
            rows = await paused_partitions(self._database.pool)
        except Exception as error:
            if not is_passing(error):
                raise
            log.debug("paused partitions are unknown", error=repr(error))
            return
        paused = {(row.topic, row.partition) for row in rows if row.consumer == self._consumer}
        for topic, number in self._paused - paused:
            PARTITION_PAUSED.remove(self._consumer, topic, number)
        for topic, number in paused:
            PARTITION_PAUSED.labels(self._consumer, topic, number).set(1)
        self._paused = paused
        for partition in paused:
            self.hold(client, partition)
        for partition in self._held - paused:
            self._held.discard(partition)
            if partition in client.assignment():
                log.info("partition is read again", topic=partition[0], partition=partition[1])
                client.resume(TopicPartition(*partition))
