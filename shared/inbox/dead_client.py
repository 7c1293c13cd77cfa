"""Detects a dead Kafka client: FastStream keeps polling it and only logs the errors."""

import time
from typing import Any

from aiokafka.errors import KafkaError

from shared.kafka.aiokafka_internals import has_dead_task, watch_polls

# How long polls may fail before the client is replaced.
FAILING_SECONDS = 60.0


class DeadClientDetector:
    """Watches the polls of one started client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._failing_since: float | None = None
        watch_polls(client, self._on_poll)

    def check(self) -> None:
        """Raises KafkaError if a task of the client has ended, or if its polls have failed for a minute."""
        if has_dead_task(self._client):
            raise KafkaError("a task of the client has ended")
        if self._failing_since is not None and time.monotonic() - self._failing_since > FAILING_SECONDS:
            raise KafkaError("its polls fail")

    def _on_poll(self, succeeded: bool) -> None:
        if succeeded:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = time.monotonic()
