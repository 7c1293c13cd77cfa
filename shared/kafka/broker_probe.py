"""Asks a Kafka broker every few seconds for its topics, so that its silence and missing topics are known.

By a client of its own: those of relay and consumers wait, renew themselves and retry, and say little of it.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from shared.kafka.refusal import explain
from shared.kafka_access import KafkaAccess
from shared.logs import get_logger

_EVERY_SECONDS = 5.0
_PATIENCE_SECONDS = 5.0

log = get_logger(__name__)


class BrokerProbe:
    """`run` asks; `silent_seconds` and `missing` give what is known. `topics` are full names."""

    def __init__(self, access: KafkaAccess, topics: Collection[str]) -> None:
        self._access = access
        self._topics = frozenset(topics)
        self._answered = time.monotonic()
        self.refusal: str | None = None
        """Why no broker has answered since the last answer, in a sentence."""
        self.missing: list[str] = []
        """The topics that no broker had at its last answer, sorted."""

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last answer, or since the start."""
        return time.monotonic() - self._answered

    async def run(self) -> None:
        """Asks until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    client = await self._connect()
                try:
                    while True:
                        await self._ask(client)
                        await asyncio.sleep(_EVERY_SECONDS)
                finally:
                    await client.close()
            except (KafkaError, OSError, TimeoutError) as error:
                await self._look_into(error)
            await asyncio.sleep(1)

    async def _look_into(self, error: Exception) -> None:
        before, self.refusal = self.refusal, await explain(error, self._access)
        if self.refusal != before:
            log.warning("no broker takes our connection", reason=self.refusal)

    async def _connect(self) -> Any:
        client = AIOKafkaClient(
            **self._access.options(),
            client_id="civicloom-probe",
            request_timeout_ms=int(_PATIENCE_SECONDS * 1000),
            metadata_max_age_ms=2**31 - 1,  # it asks by itself
        )
        try:
            await client.bootstrap()
        except BaseException:
            await client.close()
            raise
        return client

    async def _ask(self, client: Any) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            found = await client.fetch_all_metadata()
        self._answered, self.refusal = time.monotonic(), None
        self.missing = sorted(self._topics - found.topics())
