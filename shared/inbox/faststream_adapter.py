"""All that we use of FastStream: subscription, rebalancing and the lifecycle of the client.

Our own loop stands around it, since FastStream swallows a handler's error and goes on with the next records,
and acknowledges Kafka's offset, while here the cursor row decides what was applied.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from shared.inbox.barrier import Barrier
from shared.settings import CoreSettings

MAX_RECORDS = 2000
# How long a poll waits in the client: records end it at once.
_POLL_MS = 500
# How long the broker holds a fetch for which it has nothing. A partition whose records were just taken is not
# part of the fetch that is under way, so this is how long its next record may wait.
_FETCH_WAIT_MS = 100
_METADATA_MS = 5_000
_STOP_SECONDS = 15
# How long a crashed replica's partitions wait. The cursor stops a replica that only seemed dead.
_SESSION_MS, _REBALANCE_MS = 10_000, 12_000
# How long a silent connection is believed in. A request to join a group waits for the rebalance.
_REQUEST_MS = 15_000

Fetched = tuple[int, Sequence[Any]]
"""The barrier's generation at the fetch, and records of any number of partitions."""


class Subscription:
    """One client in the consumer group `group`; reads `topics`, or those that match the regular `pattern`."""

    def __init__(
        self,
        settings: CoreSettings,
        on_fetched: Callable[[Fetched], Awaitable[None]],
        barrier: Barrier,
        *,
        group: str,
        topics: Sequence[str],
        pattern: str | None,
    ) -> None:
        # FastStream gives the handler a message's body and nothing else: the generation travels as body.
        async def parse(batch: Any) -> KafkaMessage:
            return KafkaMessage(body=barrier.generation, raw_message=batch, consumer=FAKE_CONSUMER)

        async def decode(message: Any) -> Fetched:
            return message.body, message.raw_message

        self._broker: KafkaBroker | None = KafkaBroker(
            settings.kafka_bootstrap,
            logger=None,
            apply_types=False,
            consumer_only=True,
            allow_auto_create_topics=False,
            metadata_max_age_ms=_METADATA_MS,
            request_timeout_ms=_REQUEST_MS,
            graceful_timeout=10,
            client_id=f"civicloom-{settings.service}",
        )
        options: dict[str, Any] = {
            "group_id": group,
            "batch": True,
            "max_records": MAX_RECORDS,
            "batch_timeout_ms": _POLL_MS,
            "fetch_max_wait_ms": _FETCH_WAIT_MS,
            "ack_policy": AckPolicy.MANUAL,
            "parser": parse,
            "decoder": decode,
            "listener": barrier,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": _SESSION_MS,
            "rebalance_timeout_ms": _REBALANCE_MS,
        }
        if pattern:
            options["pattern"] = pattern
        self._subscriber: Any = self._broker.subscriber(*topics, **options)
        self._subscriber(on_fetched)

    @property
    def client(self) -> Any:
        """The AIOKafkaConsumer; None before `start`."""
        return self._subscriber.consumer

    async def start(self) -> None:
        """Connects and joins the group. Raises KafkaError."""
        if self._broker is not None:
            await self._broker.start()

    async def stop(self) -> None:
        """Leaves the group; once. Raises KafkaError, or TimeoutError after 15 seconds."""
        broker, self._broker = self._broker, None
        if broker is not None:
            async with asyncio.timeout(_STOP_SECONDS):
                await broker.stop()
