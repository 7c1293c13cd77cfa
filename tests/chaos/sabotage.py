"""A service as shipped, with one mechanism of the core broken on purpose: the checks must find it.

`python -m tests.chaos.sabotage NAMES SERVICE` starts it; NAMES are of `SABOTAGES`, with commas. The product
has no switch for this: the mechanism is replaced here before the service is imported.
"""

import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import asyncpg

import services.publisher.push.mail
import shared.inbox.consumer
import shared.inbox.parking
import shared.inbox.partition_batch
import shared.inbox.rounds
import shared.service
from harness.installation import Command
from services.publisher.domain.delivery_results import DeliveryResult
from services.publisher.push.mail import MailSession
from services.publisher.push.rendering import RenderedMail
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Handler, Result
from shared.inbox.partition_batch import QUERIES, PartitionBatchProcessor
from shared.inbox.rounds import Item
from shared.kafka.records import RawRecord
from shared.outbox.fence import Fence
from shared.outbox.relay import SHARDS, Relay
from shared.settings import ServiceName
from shared.unit_of_work.transaction import Tx

SWALLOWED = frozenset({"civic.assignment.signed.v1", "civic.inquiry.replied.v1"})
"""Types that neither begin nor end a case; each of the three services reads at least one."""


class OffsetsFirst(PartitionBatchProcessor):
    """Commits the offset before the work, as `ACK_FIRST` does."""

    async def process(
        self, records: Sequence[RawRecord], *, start: int | None = None, next_offset: int | None = None
    ) -> int:
        first, behind = records[0], records[-1].offset + 1
        run = first.offset if start is None else start, behind if next_offset is None else next_offset
        async with self._database.transaction() as tx:
            fresh, cursor = await self._after_cursor(tx, records, run[0])
            if cursor >= run[1]:
                return cursor
            owner = (self._consumer, first.topic, first.partition)
            await tx.connection.execute(QUERIES["pass_offsets"], *owner, run[1])
        if fresh:
            async with self._database.transaction() as tx:
                await self._apply(tx, fresh, careful=False)
        return run[1]


class NoCursor(PartitionBatchProcessor):
    """Takes every record for new; `no_duplicates` removes the second check."""

    async def _after_cursor(
        self, tx: Tx, records: Sequence[RawRecord], start: int
    ) -> tuple[Sequence[RawRecord], int]:
        await super()._after_cursor(tx, records, min(start, 0))
        return records, start


class NoLock(Relay):
    """Sends every shard, also those of other relays."""

    async def _share(self, _: asyncpg.Connection) -> None:
        self._shards = list(range(SHARDS))


class LocksLate(PartitionBatchProcessor):
    """Locks the aggregates of one event after another, in the order of the events."""

    async def _apply(self, tx: Tx, records: Sequence[RawRecord], *, careful: bool) -> Any:
        tx.lock = _nothing  # type: ignore[method-assign,assignment]
        return await super()._apply(tx, records, careful=careful)

    async def _round(self, tx: Tx, items: list[Item], *more: Any, careful: bool) -> None:
        for item in items:
            for aggregate in item.locks:
                if aggregate not in tx._pending.sequences:
                    await Tx.lock(tx, [aggregate])
        await super()._round(tx, items, *more, careful=careful)


async def _nothing(_: Any) -> None:
    return


async def swallowing(
    tx: Tx, handler: Handler, events: list[IncomingEvent[Any]], *, careful: bool
) -> list[Result]:
    """Marks some events as processed without applying them; later ones are applied."""
    seen = [event for event in events if not _is_swallowed(event)]
    faults = dict(
        zip(
            (event.id for event in seen),
            await shared.inbox.rounds.apply(tx, handler, seen, careful=careful) if seen else (),
            strict=True,
        )
    )
    for event in events:
        if _is_swallowed(event) and event.ordinal is not None:
            tx.mark_processed(event.subject, event.event.source, event.ordinal)
    return [faults.get(event.id) for event in events]


def _is_swallowed(event: IncomingEvent[Any]) -> bool:
    return event.event.type in SWALLOWED and sum(event.id.encode()) % 2 == 0


def no_duplicates(*_: Any) -> bool:
    """The check of sequences, disabled."""
    return False


def _replace(module: ModuleType, name: str, part: object) -> None:
    assert hasattr(module, name), f"{module.__name__} has no {name}: nothing would be broken"
    setattr(module, name, part)


def _offsets_first() -> None:
    _replace(shared.inbox.consumer, "PartitionBatchProcessor", OffsetsFirst)


def _no_cursor() -> None:
    _replace(shared.inbox.consumer, "PartitionBatchProcessor", NoCursor)
    _replace(shared.inbox.partition_batch, "is_duplicate", no_duplicates)
    _replace(shared.inbox.parking, "is_duplicate", no_duplicates)


def _no_lock() -> None:
    _replace(shared.service, "Relay", NoLock)


def _locks_late() -> None:
    _replace(shared.inbox.consumer, "PartitionBatchProcessor", LocksLate)


class PostsTwice(MailSession):
    """Sends each mail and, as if it had forgotten that, once more."""

    async def send(self, mail: RenderedMail) -> DeliveryResult:
        await super().send(mail)
        return await super().send(mail)


def _posts_twice() -> None:
    _replace(services.publisher.push.mail, "MailSession", PostsTwice)


def _swallows() -> None:
    _replace(shared.inbox.partition_batch, "apply", swallowing)


class NoFence(Fence):
    """Believes every database to be as new as its topic."""

    async def check(self, session: asyncpg.Connection) -> None:
        del session
        self.passed.set()


def _no_fence() -> None:
    _replace(shared.service, "Fence", NoFence)


SABOTAGES: Mapping[str, Callable[[], None]] = {
    "offsets-first": _offsets_first,
    "no-cursor": _no_cursor,
    "no-lock": _no_lock,
    "locks-late": _locks_late,
    "swallows": _swallows,
    "posts-twice": _posts_twice,
    "no-fence": _no_fence,
}


FAULTS: Mapping[str, Sequence[tuple[Any, ...]]] = {
    "locks-late": [("pile_up", "routing"), ("pile_up", "routing"), ("pile_up", "routing")],
    "no-cursor": [("own_twice", "routing"), ("send_again",)],
    "offsets-first": [("kill_amid_work", "routing")],
}
"""What brings these to light; the others show by themselves, or in scenarios of their own."""


def sabotaged(*names: str) -> Command:
    """How an installation starts its services with these sabotages."""

    def command(service: ServiceName) -> Sequence[str]:
        return (sys.executable, "-m", "tests.chaos.sabotage", ",".join(names), service)

    return command


if __name__ == "__main__":
    sabotages, service = sys.argv[1:]
    for sabotage in sabotages.split(","):
        SABOTAGES[sabotage]()
    runpy.run_module(f"services.{service}", run_name="__main__")
