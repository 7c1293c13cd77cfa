"""A lost `inquiry.received`: publisher expects it, and takes it although it comes behind later events."""

from dataclasses import replace

import pytest

from shared.contracts.inquiry import InquiryAccepted, InquiryErased
from shared.contracts.routing import AssignmentSigned, CaseDispatched
from shared.ids import new_id
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.unit_of_work.ended_waits import end_wait
from shared.unit_of_work.expectations import Expectation
from tests.integration.publisher.conftest import START, Running
from tests.integration.publisher.test_notices import (
    DISPATCHED,
    REPLIED,
    SIGNED,
    contact_stated,
    received,
    steps,
)

pytestmark = pytest.mark.integration
ACCEPTED = InquiryAccepted.model_validate(
    {"deadline": {"due": START, "day_zero": START, "amount": 5, "day_count": "workdays"}}
)
ALL_NOTICES = [
    "accepted by the department",
    "assigned to the department in charge",
    "we have received your report",
    "you have an answer",
]


@pytest.fixture
def case(running: Running) -> str:
    return new_id(running.clock.now())


async def expected(running: Running) -> list[str]:
    rows = await running.database.pool.fetch("SELECT kind FROM expectation ORDER BY kind")
    return [row["kind"] for row in rows]


async def kept(running: Running) -> int:
    count: int = await running.database.pool.fetchval("SELECT count(*) FROM early_step")
    return count


async def without_its_intake(running: Running, case: str) -> RawRecord:
    """Everything of a case is applied except its intake, which is lost; gives the lost record."""
    lost = await running.emit("inquiry", case, received())
    await running.consume(
        await running.emit("routing", case, DISPATCHED),
        await running.emit("routing", case, SIGNED),
        await running.emit("inquiry", case, REPLIED),
        await contact_stated(running, case),
    )
    return lost


async def test_a_citizen_gets_all_notices_when_the_lost_intake_is_sent_again(
    running: Running, case: str
) -> None:
    lost = await without_its_intake(running, case)
    assert await expected(running) == ["intake"]
    assert await kept(running) == 3
    await running.consume(lost, lost)
    await running.deliver()
    assert steps(running) == ALL_NOTICES
    assert await expected(running) == []
    assert await kept(running) == 0


async def test_an_intake_that_was_given_up_is_taken_if_it_comes_after_all(
    running: Running, case: str
) -> None:
    lost = await without_its_intake(running, case)
    await end_wait(running.database, Expectation(case, "intake"), "ada", "nobody has kept it")
    await running.consume(lost, lost)
    await running.deliver()
    assert steps(running) == ALL_NOTICES
    assert await expected(running) == []


async def test_copies_of_the_lost_intake_in_one_batch_are_taken_once(running: Running, case: str) -> None:
    lost = await without_its_intake(running, case)
    batches = PartitionBatchProcessor(running.database, "publisher", running.parts.handlers)
    await running.database.pool.execute("DELETE FROM cursor")
    await batches.process([replace(lost, offset=offset) for offset in range(3)], start=0)
    assert await running.database.pool.fetchval("SELECT count(*) FROM parked_key") == 0
    await running.deliver()
    assert steps(running) == ALL_NOTICES


async def test_the_contact_alone_makes_a_case_wait_and_keeps_the_steps_of_inquiry(
    running: Running, case: str
) -> None:
    lost = await running.emit("inquiry", case, received())
    await running.consume(await contact_stated(running, case), await running.emit("inquiry", case, ACCEPTED))
    assert await expected(running) == ["intake"]
    await running.consume(lost)
    await running.deliver()
    assert steps(running) == ["accepted", "we have received your report"]
    assert await expected(running) == []


async def test_a_late_intake_without_notices_ends_the_wait_and_the_address_is_not_kept(
    running: Running, case: str
) -> None:
    lost = await running.emit("inquiry", case, received(notify=False))
    await running.consume(await contact_stated(running, case), await running.emit("inquiry", case, REPLIED))
    await running.consume(lost)
    assert await expected(running) == []
    assert await running.deliveries() == []
    assert await running.database.pool.fetchval("SELECT address FROM contact") is None


async def test_a_late_intake_waits_for_the_contact_as_an_early_one_does(running: Running, case: str) -> None:
    lost = await running.emit("inquiry", case, received())
    await running.consume(
        await running.emit("routing", case, DISPATCHED), await running.emit("inquiry", case, REPLIED)
    )
    await running.consume(lost)
    assert await expected(running) == ["contact"]
    await running.consume(await contact_stated(running, case))
    await running.deliver()
    assert len(steps(running)) == 3
    assert await expected(running) == []


async def test_an_erased_case_expects_nothing_and_its_intake_is_dropped(running: Running, case: str) -> None:
    lost = await without_its_intake(running, case)
    await running.consume(await running.emit("inquiry", case, InquiryErased(basis="citizen_request")), lost)
    await running.consume(await running.emit("routing", case, DISPATCHED))
    assert (await expected(running), await kept(running), await running.deliveries()) == ([], 0, [])


async def test_a_case_without_contact_expects_nothing(running: Running, case: str) -> None:
    quiet = {"notify": False}
    await running.consume(
        await running.emit("inquiry", case, ACCEPTED),
        await running.emit("routing", case, CaseDispatched.model_copy(DISPATCHED, update=quiet)),
        await running.emit("routing", case, AssignmentSigned.model_copy(SIGNED, update=quiet)),
        await running.emit("inquiry", case, REPLIED),
    )
    assert (await expected(running), await kept(running)) == ([], 0)


async def test_what_the_release_before_reads_ends_the_wait_too(running: Running, case: str) -> None:
    await running.consume(await contact_stated(running, case))
    assert await expected(running) == ["intake"]
    await running.database.pool.execute("UPDATE contact SET wanted = true WHERE inquiry = $1", case)
    assert await expected(running) == []
