"""Accepts that come at the same time are taken in together: one transaction for all who wait by then.

Nobody is kept waiting for others to come: while one transaction runs, the concerns of the next one gather. A
request alone costs some ten statements; together they cost these ten once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.inquiry.domain.concern import Concern
from services.inquiry.intake import Intake
from services.inquiry.queries import QUERIES
from shared.infrastructure import is_infrastructure
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request, claim_together, remember_together

_TOGETHER = 200


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: Request
    concern: Concern
    actor: str
    value: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class IntakeBatcher:
    """Where keyed requests are taken in. One per process."""

    def __init__(self, database: Database, intake: Intake) -> None:
        self._database = database
        self._intake = intake
        self._queue: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None

    async def receive(self, request: Request, concern: Concern, actor: str) -> bytes:
        """Takes a concern in, once per key: the event as committed.

        Raises KeyReused, CalendarRange and EventTooLarge.
        """
        waiting = _Waiting(request, concern, actor)
        self._queue.append(waiting)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await waiting.value

    async def _work(self) -> None:
        try:
            while self._queue:
                together, self._queue = self._queue[:_TOGETHER], self._queue[_TOGETHER:]
                await self._serve(together)
        finally:
            self._working = None

    async def _serve(self, waiting: Sequence[_Waiting]) -> None:
        left = waiting
        if len(waiting) > 1:
            try:
                left = await self._together(waiting)
            except Exception as error:
                if is_infrastructure(error):
                    for one in waiting:
                        _refuse(one, error)
                    return
                # Somebody among them is at fault: alone, nobody else hears of it.
        await asyncio.gather(*(self._alone(one) for one in left))

    async def _together(self, waiting: Sequence[_Waiting]) -> list[_Waiting]:
        """Takes in those whose keys are new; the others, which have to be looked into one by one."""
        async with self._database.transaction() as tx:
            new = await claim_together(tx, [one.request for one in waiting])
            mine = [one for one, is_new in zip(waiting, new, strict=True) if is_new]
            values: list[tuple[_Waiting, bytes]] = []
            answers: list[tuple[Request, Answer]] = []
            for actor in dict.fromkeys(one.actor for one in mine):
                of_actor = [one for one in mine if one.actor == actor]
                taken = await self._intake.take_in(tx, [one.concern for one in of_actor], actor=actor)
                values += [(one, case.value) for one, case in zip(of_actor, taken, strict=True)]
                answers += [
                    (one.request, _answer(case.id)) for one, case in zip(of_actor, taken, strict=True)
                ]
            await remember_together(tx, answers)
        for one, value in values:
            _give(one, value)
        return [one for one, is_new in zip(waiting, new, strict=True) if not is_new]

    async def _alone(self, one: _Waiting) -> None:
        try:
            value = await self._value(one)
        except Exception as error:
            _refuse(one, error)
        else:
            _give(one, value)

    async def _value(self, one: _Waiting) -> bytes:
        async with self._database.transaction() as tx:
            earlier = await one.request.earlier_answer(tx)
            if earlier is not None:
                value: bytes = await tx.connection.fetchval(QUERIES["read_value"], earlier.body["id"])
                return value
            taken = (await self._intake.take_in(tx, [one.concern], actor=one.actor))[0]
            await one.request.remember(tx, _answer(taken.id))
        return taken.value


def _answer(inquiry: str) -> Answer:
    return Answer(201, {"id": inquiry})


# Whoever has hung up meanwhile has cancelled the future; what was taken in for them stays.
def _give(one: _Waiting, value: bytes) -> None:
    if not one.value.done():
        one.value.set_result(value)


def _refuse(one: _Waiting, error: Exception) -> None:
    if not one.value.done():
        one.value.set_exception(error)
