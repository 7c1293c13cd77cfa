"""Asks the broker what stands in partitions now: their bounds, and the record at one offset of each."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka.aiokafka_internals import all_partitions, position_of, stop_consumer
from shared.kafka.client import raw_record
from shared.kafka.fingerprint import LogState
from shared.kafka.records import Partition, RawRecord
from shared.kafka_access import KafkaAccess

# For all partitions together. One that does not answer is absent, and the others are not held up for long.
_SECONDS = 5.0
_STOP_SECONDS = 5.0
_GATHER_SECONDS = 0.02
_FETCH_BYTES = 64 * 1024


class LogStates:
    """Reads log states for callers that ask one by one; those who ask at the same time share one client.

    Partitions are assigned by the hundred, and each asks on its own.
    """

    def __init__(self, access: KafkaAccess, client_id: str) -> None:
        self._access = access
        self._client_id = client_id
        self._asked: dict[Partition, tuple[int | None, list[asyncio.Future[LogState]]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def read(self, partition: Partition, offset: int | None) -> LogState:
        """The state of one partition, see `read_log_states`.

        Of two who ask for different records of one partition at the same time, one learns nothing of its own.

        Raises KafkaError, OSError or TimeoutError if no broker answers for it.
        """
        answer: asyncio.Future[LogState] = asyncio.get_running_loop().create_future()
        earlier, waiting = self._asked.get(partition, (None, []))
        self._asked[partition] = earlier if offset is None else offset, [*waiting, answer]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._answer_all(), name="log states")
        return await answer

    async def stop(self) -> None:
        """Stops reading. Callers that still wait get no answer: stop them first."""
        task, self._task, self._asked = self._task, None, {}
        if task is None:
            return
        # A client that is cancelled while it connects leaves its connection open.
        _, running = await asyncio.wait([task], timeout=_STOP_SECONDS)
        if running:
            task.cancel()
            await asyncio.wait([task])

    async def _answer_all(self) -> None:
        while self._asked:
            await asyncio.sleep(_GATHER_SECONDS)
            asked, self._asked = self._asked, {}
            offsets = {partition: offset for partition, (offset, _) in asked.items()}
            failure: Exception | None = None
            found: dict[Partition, LogState] = {}
            try:
                found = await read_log_states(self._access, self._client_id, offsets)
            except Exception as error:
                failure = error
            for partition, (_, waiting) in asked.items():
                for answer in waiting:
                    if answer.done():
                        continue
                    if partition in found:
                        answer.set_result(found[partition])
                    else:
                        answer.set_exception(failure or KafkaError(f"no broker answers for {partition}"))


async def read_log_states(
    access: KafkaAccess, client_id: str, offsets: Mapping[Partition, int | None]
) -> dict[Partition, LogState]:
    """The state of each partition's log, with the record at the given offset, if any was asked for.

    Uncommitted records count: what stands in the log is asked, not what may be read. A partition that does
    not exist, or whose leader does not answer within five seconds, is absent from the result.

    Raises KafkaError or OSError if no broker answers.
    """
    client = AIOKafkaConsumer(
        **access.options(),
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=_FETCH_BYTES,
        request_timeout_ms=int(_SECONDS * 1000),
    )
    try:
        async with asyncio.timeout(_SECONDS):
            await client.start()
            there = await all_partitions(client)
        wanted = {TopicPartition(*one): offset for one, offset in offsets.items() if one in there}
        if not wanted:
            return {}
        client.assign(list(wanted))
        return await _read(client, wanted)
    finally:
        await stop_consumer(client, _STOP_SECONDS)


async def _read(client: Any, wanted: Mapping[Partition, int | None]) -> dict[Partition, LogState]:
    bounds = dict(await asyncio.gather(*(_bounds(client, one) for one in wanted)))
    found = {one: found for one, found in bounds.items() if found is not None}
    inside = {
        one: offset
        for one, offset in wanted.items()
        if one in found and offset is not None and found[one][0] <= offset < found[one][1]
    }
    records = await _records(client, inside, wanted)
    return {
        (one.topic, one.partition): LogState(begin, end, records.get(one))
        for one, (begin, end) in found.items()
        if one not in inside or one in records
    }


async def _bounds(client: Any, partition: Any) -> tuple[Any, tuple[int, int] | None]:
    try:
        async with asyncio.timeout(_SECONDS):
            begins, ends = await asyncio.gather(
                client.beginning_offsets([partition]), client.end_offsets([partition])
            )
    except (KafkaError, TimeoutError):
        return partition, None
    return partition, (begins[partition], ends[partition])


async def _records(
    client: Any, inside: Mapping[Any, int], assigned: Iterable[Any]
) -> dict[Any, RawRecord | None]:
    """The record at each offset; None where the log goes on behind it without one."""
    client.pause(*assigned)
    for one, offset in inside.items():
        client.seek(one, offset)
    client.resume(*inside)
    found: dict[Any, RawRecord | None] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS):
            while len(found) < len(inside):
                await _poll(client, inside, found)
                # Else the brokers would send the same partitions again, and others would wait.
                client.pause(*found)
    return found


async def _poll(client: Any, inside: Mapping[Any, int], found: dict[Any, RawRecord | None]) -> None:
    for one, records in (await client.getmany(timeout_ms=100)).items():
        first = raw_record(records[0])
        found[one] = first if first.offset == inside[one] else None
    for one, offset in inside.items():
        # A fetch of nothing but markers returns no records and moves on.
        if one not in found and (position_of(client, one) or 0) > offset:
            found[one] = None
