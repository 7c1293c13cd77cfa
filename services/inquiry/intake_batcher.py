"""Group commit of intakes: requests that arrive during one transaction share the next.

A request that arrives alone starts at once. Taken in alone it costs some ten statements; a batch costs the
same ten once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.inquiry.domain.concern import Concern
from services.inquiry.intake import Intake
from services.inquiry.queries import read_receipt
from shared.infrastructure import is_infrastructure
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request, claim_together, remember_together

_BATCH = 200


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: Request
    concern: Concern
    actor: str
    value: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class IntakeBatcher:
    """Takes in keyed requests, in batches. One per process, used on its event loop.

    `database` gives the transactions, `intake` makes the cases in them.
    """

    def __init__(self, database: Database, intake: Intake) -> None:
        self._database = database
        self._intake = intake
        self._queue: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def take_in(self, request: Request, concern: Concern, actor: str) -> bytes:
        """Takes a concern in, once per key. Returns the event as committed.

        Raises KeyReused, CalendarRange and EventTooLarge.
        """
        waiting = _Waiting(request, concern, actor)
        self._queue.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await waiting.value

    async def _work(self) -> None:
        try:
            while self._queue:
                # A client that has given up sends its concern again, with the same key.
                waiting = [one for one in self._queue if not one.value.cancelled()]
                batch, self._queue = waiting[:_BATCH], waiting[_BATCH:]
                await self._process(batch)
        finally:
            self._worker = None

    async def _process(self, batch: Sequence[_Waiting]) -> None:
        remaining = batch
        if len(batch) > 1:
            try:
                async with self._limit():
                    remaining = await self._take_in_batch(batch)
            except Exception as error:
                if is_infrastructure(error):
                    for one in batch:
                        _fail(one, error)
                    return
                # One of the requests is at fault. Taken in alone, it fails no other.
        await asyncio.gather(*(self._take_in_alone(one) for one in remaining))

    def _limit(self) -> asyncio.Timeout:
        """The worker is no request, but requests wait for it: behind a lock it gives up with them."""
        return asyncio.timeout(self._database.settings.request_seconds)

    async def _take_in_batch(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Takes in the requests with new keys. Returns the others, which have to be looked up one by one."""
        async with self._database.transaction() as tx:
            is_new = await claim_together(tx, [one.request for one in batch])
            new = [one for one, claimed in zip(batch, is_new, strict=True) if claimed]
            values: list[tuple[_Waiting, bytes]] = []
            answers: list[tuple[Request, Answer]] = []
            for actor in dict.fromkeys(one.actor for one in new):
                of_actor = [one for one in new if one.actor == actor]
                results = await self._intake.take_in(tx, [one.concern for one in of_actor], actor=actor)
                for one, result in zip(of_actor, results, strict=True):
                    values.append((one, result.value))
                    answers.append((one.request, _answer(result.id)))
            await remember_together(tx, answers)
        for one, value in values:
            _resolve(one, value)
        return [one for one, claimed in zip(batch, is_new, strict=True) if not claimed]

    async def _take_in_alone(self, one: _Waiting) -> None:
        try:
            async with self._limit():
                value = await self._value(one)
        except Exception as error:
            _fail(one, error)
        else:
            _resolve(one, value)

    async def _value(self, one: _Waiting) -> bytes:
        async with self._database.transaction() as tx:
            earlier = await one.request.earlier_answer(tx)
            if earlier is not None:
                return await read_receipt(tx.connection, earlier.body["id"])
            result = (await self._intake.take_in(tx, [one.concern], actor=one.actor))[0]
            await one.request.remember(tx, _answer(result.id))
        return result.value


def _answer(inquiry: str) -> Answer:
    return Answer(201, {"id": inquiry})


# A client that disconnected has cancelled its future. Its concern stays taken in.
def _resolve(one: _Waiting, value: bytes) -> None:
    if not one.value.done():
        one.value.set_result(value)


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.value.done():
        one.value.set_exception(error)
