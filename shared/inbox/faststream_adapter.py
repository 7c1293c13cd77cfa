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
_FETCH_WAIT_MS = 50
_METADATA_SECONDS = 5
_STOP_SECONDS = 15

OnRecords = Callable[[int, Sequence[Any]], Awaitable[None]]
"""Takes the barrier's generation at the fetch, and the records of any number of partitions."""


class Subscription:
    """One started client in a consumer group; reads `topics`, or those that match the regular `pattern`."""

    def __init__(
        self,
        settings: CoreSettings,
        on_records: OnRecords,
        barrier: Barrier,
        *,
        group: str,
        topics: Sequence[str],
        pattern: str | None,
    ) -> None:
        self._broker: KafkaBroker | None = KafkaBroker(
            settings.kafka_bootstrap,
            logger=None,
            apply_types=False,
            consumer_only=True,
            allow_auto_create_topics=False,
            metadata_max_age_ms=_METADATA_SECONDS * 1000,
            graceful_timeout=10,
            client_id=f"civicloom-{settings.service}",
        )

        # FastStream gives the handler a message's body and nothing else: the generation travels as body.
        async def parse(batch: Any) -> KafkaMessage:
            return KafkaMessage(body=barrier.generation, raw_message=batch, consumer=FAKE_CONSUMER)

        async def decode(message: Any) -> tuple[int, Any]:
            return message.body, message.raw_message

        async def handle(fetched: Any) -> None:
            generation, records = fetched
            await on_records(generation, records)

        options: dict[str, Any] = {
            "group_id": group,
            "batch": True,
            "max_records": MAX_RECORDS,
            "batch_timeout_ms": _FETCH_WAIT_MS,
            "fetch_max_wait_ms": _FETCH_WAIT_MS,
            "ack_policy": AckPolicy.MANUAL,
            "parser": parse,
            "decoder": decode,
            "listener": barrier,
            "auto_offset_reset": "earliest",
            # How long a crashed replica's partitions wait. The cursor stops one that only seemed dead.
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 30_000,
        }
        if pattern:
            self._subscriber: Any = self._broker.subscriber(pattern=pattern, **options)
        else:
            self._subscriber = self._broker.subscriber(*topics, **options)
        self._subscriber(handle)

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
