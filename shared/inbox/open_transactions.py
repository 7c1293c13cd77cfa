"""Shows records that wait for the end of a transaction in which somebody has written them.

They cannot be read before, and neither can what stands behind them in their partition. The broker ends a
transaction that its writer has forgotten, by default after a minute; one that it does not end needs a person.
"""

import time
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition

from shared.kafka.records import Partition
from shared.metrics import OPEN_TRANSACTION

# Longer than the broker's default for a forgotten transaction.
_SHOWN_SECONDS = 120.0


class OpenTransactions:
    """The open transactions in the partitions that one replica of a consumer owns."""

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self._since: dict[Partition, tuple[int, float]] = {}
        self._topics: set[str] = set()

    def measure(self, client: Any, partitions: Iterable[Partition]) -> None:
        """Takes over what the client's last fetches say, and sets the gauge."""
        now = time.monotonic()
        since: dict[Partition, tuple[int, float]] = {}
        assigned = client.assignment()
        for one in partitions:
            if one not in assigned:
                continue
            high, stable = _ends(client, one)
            if high is None or stable is None or stable >= high:
                continue
            begun = self._since.get(one)
            since[one] = begun if begun is not None and begun[0] == stable else (stable, now)
        self._since = since
        longest: dict[str, float] = dict.fromkeys(self._topics, 0.0)
        for (topic, _), (_, moment) in since.items():
            longest[topic] = max(longest.get(topic, 0.0), now - moment)
        self._topics |= longest.keys()
        for topic, seconds in longest.items():
            OPEN_TRANSACTION.labels(self._consumer, topic).set(seconds)

    def shown(self) -> list[str]:
        """The topics whose records have waited for two minutes."""
        now = time.monotonic()
        return sorted({one[0] for one, (_, moment) in self._since.items() if now - moment > _SHOWN_SECONDS})


def _ends(client: Any, partition: Partition) -> tuple[int | None, int | None]:
    asked = TopicPartition(*partition)
    return client.highwater(asked), client.last_stable_offset(asked)
