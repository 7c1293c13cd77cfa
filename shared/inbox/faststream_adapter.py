"""All that we use of FastStream: subscription, rebalancing and the lifecycle of the client.

Our own loop stands around it, since FastStream swallows a handler's error and goes on with the next records,
and acknowledges Kafka's offset, while here the cursor row decides what was applied.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from shared.inbox.barrier import Barrier
from shared.inbox.partition_worker import MAX_RECORDS, FetchedRun
from shared.kafka.aiokafka_internals import kill_consumer, stop_client
from shared.kafka.client import fetch_options
from shared.kafka_access import KafkaAccess, Mechanism
from shared.settings import CoreSettings

_METADATA_MS = 5_000
_STOP_SECONDS = 15
# How long a crashed replica's partitions wait. The cursor stops a replica that only seemed dead.
_SESSION_MS, _REBALANCE_MS = 10_000, 12_000
# How long a silent connection is believed in. A request to join a group waits for the rebalance.
_REQUEST_MS = 15_000
# What a unit's client has aborted, or not committed yet, it has not said.
_ISOLATION = "read_committed"
_SASL: Mapping[Mechanism, type[SASLPlaintext | SASLScram256 | SASLScram512]] = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}

Poll = Callable[[Any], Awaitable[Sequence[FetchedRun]]]
"""Polls the client once: a run for each partition of which something was fetched."""


class Subscription:
    """One client in the consumer group `group`; reads `topics`, or those that match the regular `pattern`.

    It polls with `poll`, again and again, and gives `on_fetched` what was fetched. With `patience`, in
    seconds, the broker lets records wait for others that long.
    """

    def __init__(
        self,
        settings: CoreSettings,
        poll: Poll,
        on_fetched: Callable[[Sequence[FetchedRun]], Awaitable[None]],
        barrier: Barrier,
        *,
        group: str,
        topics: Sequence[str],
        pattern: str | None,
        patience: float = 0.0,
    ) -> None:
        # FastStream gives the handler a message's body and nothing else: so the runs are the body.
        async def parse(batch: Any) -> KafkaMessage:
            return KafkaMessage(body=b"", raw_message=batch, consumer=FAKE_CONSUMER)

        async def decode(message: Any) -> Sequence[FetchedRun]:
            runs: Sequence[FetchedRun] = message.raw_message
            return runs

        self._broker: KafkaBroker | None = KafkaBroker(
            settings.kafka.bootstrap,
            security=_security(settings.kafka),
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
            "ack_policy": AckPolicy.MANUAL,
            "parser": parse,
            "decoder": decode,
            "listener": barrier,
            "isolation_level": _ISOLATION,
            # Where to read on when the log does not hold an offset is decided by us, and never in silence.
            "auto_offset_reset": "none",
            "session_timeout_ms": _SESSION_MS,
            "rebalance_timeout_ms": _REBALANCE_MS,
            **fetch_options(patience),
        }
        if pattern:
            options["pattern"] = pattern
        self._subscriber: Any = self._broker.subscriber(*topics, **options)
        # FastStream returns records alone: neither the partitions to poll can be chosen, nor can be seen what
        # was fetched of a partition when that is nothing but transaction markers.
        self._subscriber.get_msg = poll
        self._subscriber(on_fetched)

    @property
    def client(self) -> Any:
        """The AIOKafkaConsumer; None before `start`, and without a fetcher until `start` has returned."""
        return self._subscriber.consumer

    async def start(self) -> None:
        """Connects and joins the group. Raises KafkaError."""
        if self._broker is not None:
            await self._broker.start()

    async def stop(self) -> None:
        """Leaves the group; once. Raises KafkaError, or TimeoutError after 15 seconds."""
        broker, self._broker = self._broker, None
        if broker is not None and not await stop_client(broker, _STOP_SECONDS):
            if self.client is not None:
                await kill_consumer(self.client, _STOP_SECONDS)
            raise TimeoutError(f"the consumer has not ended within {_STOP_SECONDS} s")


def _security(access: KafkaAccess) -> BaseSecurity:
    options = access.options()
    tls = options.get("ssl_context")
    if access.protocol.startswith("SASL"):
        sasl = _SASL[access.mechanism]
        username, password = options["sasl_plain_username"], options["sasl_plain_password"]
        return sasl(username, password, ssl_context=tls, use_ssl=tls is not None)
    return BaseSecurity(ssl_context=tls, use_ssl=tls is not None)
