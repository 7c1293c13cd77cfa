"""Whether a Kafka client still reads: FastStream goes on for ever with one that does not, and is silent."""

import time
from typing import Any

from aiokafka.errors import KafkaError

# So long polls may fail before the client is given up.
FAILING_SECONDS = 60.0


class Polls:
    """The polls of one client, which is None before there is one."""

    def __init__(self, client: Any = None) -> None:
        self._client = client
        self._failing_since: float | None = None

    @classmethod
    def of(cls, client: Any) -> "Polls":
        """Looks on while others poll it."""
        polls = cls(client)
        poll = client.getmany

        async def getmany(*args: Any, **options: Any) -> Any:
            try:
                found = await poll(*args, **options)
            except Exception:
                polls._failing_since = polls._failing_since or time.monotonic()
                raise
            polls._failing_since = None
            return found

        client.getmany = getmany
        return polls

    def check(self) -> None:
        """Raises KafkaError if the client will not read any more, or has not been able to for a minute."""
        if self._client is None:
            return
        tasks = self._client._coordinator._coordination_task, self._client._fetcher._fetch_task
        if any(task.done() for task in tasks):
            raise KafkaError("a task of the client has ended")
        if self._failing_since is not None and time.monotonic() - self._failing_since > FAILING_SECONDS:
            raise KafkaError("its polls fail")
