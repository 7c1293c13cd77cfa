"""Answering once per Idempotency-Key."""

from collections.abc import Awaitable, Callable

from shared.unit_of_work.idempotency import Answer, Request
from shared.unit_of_work.transaction import Tx


async def once(tx: Tx, request: Request, act: Callable[[], Awaitable[Answer]]) -> Answer:
    """Runs `act` for the first request with the key; a repeat gets the first one's answer.

    Raises KeyReused for another body under the key, Conflict while the first request is unfinished.
    """
    answer = await request.earlier_answer(tx)
    if answer is None:
        answer = await act()
        await request.remember(tx, answer)
    return answer
