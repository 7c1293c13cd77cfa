"""`Idempotency-Key` on a real database: the same answer, a conflict, or a wait."""

import asyncio

import pytest

from shared.contracts.routing import CaseTriaged
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, KeyReused, Request


async def command(database: Database, request: Request, subject: str = "case") -> Answer:
    """What every write does: return the earlier answer, or do the work and store its answer."""
    async with database.transaction([subject]) as tx:
        if earlier := await request.earlier_answer(tx):
            return earlier
        emitted = tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=subject)
        answer = Answer(201, {"sequence": emitted.sequence})
        await request.remember(tx, answer)
        return answer


async def test_a_second_request_with_the_same_key_answers_the_same(routing: Database) -> None:
    request = Request("citizen POST /inquiries", "key", b"{}")
    first = await command(routing, request)
    assert await command(routing, request) == first == Answer(201, {"sequence": 1})
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_the_same_key_with_another_body_is_a_conflict_and_writes_nothing(routing: Database) -> None:
    await command(routing, Request("scope", "key", b"{}"))
    with pytest.raises(KeyReused):
        await command(routing, Request("scope", "key", b'{"a":1}'))
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_key_counts_for_its_caller_and_route_alone(routing: Database) -> None:
    assert (await command(routing, Request("a", "key", b"{}"))).body == {"sequence": 1}
    assert (await command(routing, Request("b", "key", b"{}"))).body == {"sequence": 2}


async def test_of_many_at_a_time_one_works_and_all_answer_the_same(routing: Database) -> None:
    request = Request("scope", "key", b"{}")
    answers = await asyncio.gather(*(command(routing, request, f"case-{n}") for n in range(8)))
    assert answers == [Answer(201, {"sequence": 1})] * 8
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_request_that_failed_leaves_its_key_free(routing: Database) -> None:
    request = Request("scope", "key", b"{}")
    with pytest.raises(ZeroDivisionError):
        async with routing.transaction(["case"]) as tx:
            assert await request.earlier_answer(tx) is None
            raise ZeroDivisionError
    assert await command(routing, request) == Answer(201, {"sequence": 1})


async def test_a_request_that_waited_for_one_that_failed_does_the_work(routing: Database) -> None:
    request = Request("scope", "key", b"{}")
    claimed, fail = asyncio.Event(), asyncio.Event()

    async def failing() -> None:
        async with routing.transaction(["one"]) as tx:
            await request.earlier_answer(tx)
            claimed.set()
            await fail.wait()
            raise ZeroDivisionError

    first = asyncio.create_task(failing())
    await claimed.wait()
    second = asyncio.create_task(command(routing, request, "two"))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%idempotency%'"
    )
    async with asyncio.timeout(10):
        while not await routing.pool.fetchval(waiting):
            await asyncio.sleep(0.01)
    fail.set()
    with pytest.raises(ZeroDivisionError):
        await first
    assert await second == Answer(201, {"sequence": 1})
