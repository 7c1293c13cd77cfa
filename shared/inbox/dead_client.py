"""Detects a dead Kafka client: FastStream keeps polling it and only logs the errors."""

import time
from typing import Any

from aiokafka.errors import KafkaError

from shared.kafka.aiokafka_internals import has_dead_task

# How long polls may fail before the client is replaced.
FAILING_SECONDS = 60.0


class DeadClientDetector:
    """Is given the result of each poll of one client."""

    def __init__(self) -> None:
        self._failing_since: float | None = None

    def check(self, client: Any) -> None:
        """Raises KafkaError if a task of the client has ended, or if its polls have failed for a minute."""
        if has_dead_task(client):
            raise KafkaError("a task of the client has ended")
        if self._failing_since is not None and time.monotonic() - self._failing_since > FAILING_SECONDS:
            raise KafkaError("its polls fail")

    def polled(self, *, succeeded: bool) -> None:
        if succeeded:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = time.monotonic()
