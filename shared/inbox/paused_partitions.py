"""Which partitions one consumer does not read, as the table says (`shared.inbox.floods`)."""

from shared.inbox.floods import paused_partitions
from shared.infrastructure import is_passing
from shared.kafka.records import Partition
from shared.logs import get_logger
from shared.metrics import PARTITION_PAUSED
from shared.unit_of_work.database import Database

log = get_logger(__name__)


class PausedPartitions:
    """Those of one consumer, whichever replica reads them."""

    def __init__(self, database: Database, consumer: str) -> None:
        self._database = database
        self._consumer = consumer
        self._paused: set[Partition] = set()

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._paused

    @property
    def topics(self) -> list[str]:
        """The topics of the paused partitions, sorted."""
        return sorted({topic for topic, _ in self._paused})

    def hold(self, partition: Partition) -> None:
        """The partition is not to be read until `refresh` finds that its pause is over."""
        self._paused.add(partition)
        PARTITION_PAUSED.labels(self._consumer, *partition).set(1)

    async def refresh(self) -> None:
        """Takes over what the table says, and sets the metric. A database that is away changes nothing."""
        try:
            rows = await paused_partitions(self._database.pool)
        except Exception as error:
            if not is_passing(error):
                raise
            log.debug("paused partitions are unknown", error=repr(error))
            return
        paused = {(row.topic, row.partition) for row in rows if row.consumer == self._consumer}
        for topic, number in self._paused - paused:
            log.info("partition is read again", topic=topic, partition=number)
            PARTITION_PAUSED.remove(self._consumer, topic, number)
        for partition in paused:
            self.hold(partition)
        self._paused = paused
