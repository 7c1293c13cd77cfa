"""Every private attribute and every patch of aiokafka that we use, each with the reason.

`tests/unit/shared/kafka/test_aiokafka_internals.py` fails if the locked aiokafka no longer has one of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy

from shared.logs import get_logger

log = get_logger(__name__)

_send = AIOKafkaConnection.send
_get_conn = AIOKafkaClient._get_conn


class PythonRecordBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """aiokafka's pure-Python decoder of a record batch, with a hook for the bytes that it decodes.

    The C decoder, which is the default, offers no way to decode header names that are not UTF-8.
    """

    def decodable(self, buffer: bytearray) -> bytearray:
        """The uncompressed batch as the decoder reads it; a subclass may wrap it."""
        return buffer

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = self.decodable(self._buffer)


def use_record_parser(parser: type[Any]) -> None:
    """Parses fetched partitions with `parser`, for every consumer of this process, FastStream's included.

    aiokafka has no setting for it, and a record that its own parser cannot read stops the consumer for good.
    """
    fetcher.MemoryRecords = parser


def close_unanswered_metadata() -> None:
    """Closes a connection on which a metadata request had no answer, for every client of this process.

    aiokafka does so for all other requests. Without it a client whose connection was lost without an end
    asks on it again and again, and each question keeps it from being idle: a relay that meets a topic which
    it has not sent to before would stand for good.

    And a client that is cancelled while it starts forgets the connection that it asks on first, before it
    keeps any: it has no `_on_close_cb` yet, by which the client learns of the end of those that it keeps.
    """

    def closing(connection: Any, request: Any, expect_response: bool = True) -> Any:
        answer = _send(connection, request, expect_response)
        return _closed_unanswered(connection, answer) if isinstance(request, MetadataRequest) else answer

    AIOKafkaConnection.send = closing


async def _closed_unanswered(connection: Any, answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except TimeoutError:
        connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
        raise
    except asyncio.CancelledError:
        if connection._on_close_cb is None:
            connection.close()
        raise


def connect_no_closed_client() -> None:
    """Closes a connection that comes about after its client was closed, for every client of this process.

    A request that waits for the connection, as while the broker stands, would be sent on it: a killed
    producer would send its last batch behind what its successor has sent. aiokafka keeps such a connection
    until the client is collected.
    """

    async def connecting(client: Any, node: Any, **options: Any) -> Any:
        connection = await _get_conn(client, node, **options)
        # Its synchronizer runs from the end of its start until it is closed.
        if connection is None or client._sync_task is not None:
            return connection
        connection.close()
        return None

    AIOKafkaClient._get_conn = connecting


async def kill_producer(producer: Any, seconds: float) -> None:
    """Ends a producer that does not stop: cancels its sender, closes its sockets, waits up to `seconds`.

    The public `stop` waits for batches in flight. A sender that stays alive would send them once the
    broker is back, behind what its successor has sent.
    """
    sending = producer._sender.sender_task
    sending.cancel()
    await producer.client.close()
    await asyncio.wait([sending], timeout=seconds)


async def kill_consumer(consumer: Any, seconds: float) -> None:
    """Ends a consumer that does not stop: cancels its tasks, closes its sockets, waits up to `seconds`.

    The public `stop` closes them last. One that was given up before would ask for metadata forever, on a new
    connection whenever the old one ends.
    """
    # A consumer without a group has no coordination, and one that has not started has neither.
    owners = (consumer._coordinator, "_coordination_task"), (consumer._fetcher, "_fetch_task")
    for owner, name in owners:
        if (task := getattr(owner, name, None)) is not None:
            task.cancel()
    await asyncio.wait([asyncio.ensure_future(consumer._client.close())], timeout=seconds)


async def stop_consumer(consumer: Any, seconds: float) -> None:
    """Stops a consumer within so long, or kills it."""
    if not await stop_client(consumer, seconds):
        await kill_consumer(consumer, seconds)


async def fresh_partitions(consumer: Any, topic: str) -> set[int] | None:
    """The topic's partitions as the broker knows them now; None if it does not have the topic.

    The public `partitions_for_topic` answers from the cache, and a consumer without a subscription does not
    refresh it.
    """
    await consumer._client.force_metadata_update()
    metadata = await consumer._client.fetch_all_metadata()
    partitions: set[int] | None = metadata.partitions_for_topic(topic)
    return partitions


async def all_partitions(consumer: Any) -> set[tuple[str, int]]:
    """Topic and number of each partition that the broker knows now.

    The public `topics` leaves the partitions out, and a consumer without a subscription caches none.
    """
    metadata = await consumer._client.fetch_all_metadata()
    return {
        (topic, number)
        for topic in metadata.topics()
        for number in metadata.partitions_for_topic(topic) or ()
    }


def has_dead_task(consumer: Any) -> bool:
    """Whether the consumer's coordination or fetch task has ended: then it stops reading without an error."""
    tasks = consumer._coordinator._coordination_task, consumer._fetcher._fetch_task
    return any(task.done() for task in tasks)


async def stop_client(client: Any, seconds: float) -> bool:
    """Stops a consumer, a producer or a broker of FastStream; whether it has ended within so long.

    In a task of its own, for two reasons. aiokafka waits for its own tasks with CancelledError suppressed: a
    cancellation of the caller that came meanwhile would be lost, and the caller would go on forever. And a
    consumer that is stopped right after a failed fetch ends with a CancelledError from within, which would
    pass for a cancellation of the caller. An error of `stop` is logged and no more: it is known by now from
    what was asked of the client, and raised from a `finally` it would take the place of a cancellation.
    """
    stopping = asyncio.ensure_future(client.stop())
    _, running = await asyncio.wait({stopping}, timeout=seconds)
    if running:
        log.warning("a Kafka client has not stopped in time", seconds=seconds)
        stopping.cancel()
        return False
    if not stopping.cancelled() and (error := stopping.exception()) is not None:
        log.warning("a Kafka client ends in disorder", error=repr(error))
    return True


def watch_fetches(consumer: Any, on_failure: Callable[[set[tuple[str, int]]], None]) -> None:
    """Calls `on_failure` with the partitions of each fetch that failed, whatever the error.

    aiokafka retries by itself and reports nothing: a topic that was deleted and created again, or a broker
    that came back with an older disk, shows as a failed fetch and then as one that succeeds.
    """
    client = consumer._client
    send = client.send

    async def watched(node: Any, request: Any, **options: Any) -> Any:
        if not isinstance(request, FetchRequest):
            return await send(node, request, **options)
        try:
            response = await send(node, request, **options)
        except KafkaError:
            on_failure({(topic, one[0]) for topic, partitions in request.topics for one in partitions})
            raise
        # Of each partition: its number, the error's code, and what was fetched.
        if failed := {(topic, one[0]) for topic, found in response.topics for one in found if one[1]}:
            on_failure(failed)
        return response

    client.send = watched


def position_of(consumer: Any, partition: Any) -> int | None:
    """The next offset that the consumer will fetch from an assigned partition; None while it has none.

    The public `position` waits for one, for as long as the broker is away.
    """
    state = consumer._subscription.subscription.assignment.state_value(partition)
    if state is None or not state.has_valid_position:
        return None
    return int(state.position)
