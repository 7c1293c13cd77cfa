"""Cases that the log knows from other services, and whose intake it has not."""

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from harness.schema import open_service_database, outbox_records
from services.audit.case_check import CaseCheck
from services.audit.queries import newest_subject
from shared.clock import machine_now
from shared.ids import new_id
from shared.unit_of_work.database import Database
from shared.unit_of_work.ended_waits import end_wait
from shared.unit_of_work.expectations import Expectation, unanswered
from tests.integration.log.conftest import APPENDED_MS, Topic, append, open_log

pytestmark = pytest.mark.integration

INQUIRY = "t.inquiry.v1"
EVERY = 10**9
BEGUN = dt.datetime.fromtimestamp(APPENDED_MS / 1000, dt.UTC)


@pytest.fixture
async def audit(database: str) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "audit")
    yield opened
    await opened.pool.execute("TRUNCATE expectation")
    await opened.close()


@pytest.fixture
def routing(request: pytest.FixtureRequest) -> Topic:
    """A partition of its own for each test: they share the tables, which only grow."""
    return Topic("routing", partition=sum(request.node.name.encode()))


@pytest.fixture
def inquiry(request: pytest.FixtureRequest) -> Topic:
    return Topic("inquiry", partition=sum(request.node.name.encode()))


def dispatched(routing: Topic, case: str, number: int = 1) -> object:
    return routing.event(case, number, type="civic.case.dispatched.v1")


async def logged(audit: Database, *records: object) -> None:
    async with audit.pool.acquire() as connection:
        await append(await open_log(connection), *records)  # type: ignore[arg-type]


async def waiting(audit: Database, topic: str = INQUIRY) -> list[str]:
    """Looks once at what is new and once at what waits; the cases that then wait."""
    check = CaseCheck(audit, topic)
    while await check.look(EVERY):
        pass
    await check.look_again()
    found = await unanswered(audit.pool, machine_now(), 100)
    assert {one.kind for one in found} <= {"intake"}
    return [one.subject for one in found]


async def test_a_case_without_its_intake_is_named_until_it_comes(
    audit: Database, routing: Topic, inquiry: Topic
) -> None:
    lost, whole = new_id(BEGUN), new_id(BEGUN)
    await logged(audit, dispatched(routing, lost), inquiry.event(whole, 1), dispatched(routing, whole))
    assert await waiting(audit) == [lost]
    assert await waiting(audit) == [lost]
    await logged(audit, inquiry.event(lost, 1))
    assert await waiting(audit) == []


async def test_a_case_that_was_given_up_is_named_no_more_and_forgotten_when_its_intake_comes(
    audit: Database, routing: Topic, inquiry: Topic
) -> None:
    lost = new_id(BEGUN)
    await logged(audit, dispatched(routing, lost))
    assert await waiting(audit) == [lost]
    await end_wait(audit, Expectation(lost, "intake"), "ada", "nobody has kept it")
    (ended,) = await outbox_records(audit.pool, "civic.audit.v1")
    await logged(audit, replace(ended, partition=routing.partition, topic="t.audit.v1"))
    entry = await audit.pool.fetchrow(
        "SELECT kind, type, subject FROM log_entry JOIN log_subject ON no = subject_no ORDER BY index DESC"
    )
    assert tuple(entry) == ("event", "civic.audit.wait_ended.v1", lost)
    assert await waiting(audit) == []
    assert await audit.pool.fetchval("SELECT count(*) FROM expectation") == 1
    await logged(audit, inquiry.event(lost, 1))
    assert await waiting(audit) == []
    assert await audit.pool.fetchval("SELECT count(*) FROM expectation") == 0


async def test_a_later_event_of_inquiry_is_no_intake(audit: Database, routing: Topic, inquiry: Topic) -> None:
    case = new_id(BEGUN)
    await logged(audit, dispatched(routing, case), inquiry.event(case, 2))
    assert await waiting(audit) == [case]


async def test_an_intake_after_a_restore_is_one(audit: Database, routing: Topic, inquiry: Topic) -> None:
    case = new_id(BEGUN)
    await logged(audit, dispatched(routing, case), inquiry.event(case, 1, epoch=2))
    assert await waiting(audit) == []


async def test_what_may_name_anything_names_no_case(audit: Database, routing: Topic) -> None:
    refused = routing.event(new_id(BEGUN), 1, type="civic.routing.request_refused.v1")
    forged = routing.event("no-id", 1, type="civic.case.dispatched.v1")
    publication = Topic("publisher", routing.partition).event(
        new_id(BEGUN), 1, type="civic.publication.drafted.v1"
    )
    await logged(audit, refused, forged, publication)
    assert await waiting(audit) == []


async def test_a_thousand_and_more_are_looked_at(audit: Database, routing: Topic) -> None:
    cases = [new_id(BEGUN) for _ in range(2001)]
    await logged(audit, *(dispatched(routing, case) for case in cases))
    check = CaseCheck(audit, INQUIRY)
    known = await newest_subject(audit.pool)
    assert await check.look(known - 2001) is False  # that were there before
    assert await audit.pool.fetchval("SELECT count(*) FROM expectation") == 0
    assert [await check.look(known) for _ in range(3)] == [True, True, False]
    assert await audit.pool.fetchval("SELECT count(*) FROM expectation") == 2001
    await check.look_again()
    assert await audit.pool.fetchval("SELECT count(*) FROM expectation") == 2001


async def test_what_was_under_way_when_a_log_was_begun_late_loses_nothing(
    audit: Database, routing: Topic
) -> None:
    late = Topic("late", routing.partition)
    late.offset = 7
    before, after = new_id(BEGUN - dt.timedelta(days=1)), new_id(BEGUN)
    await logged(audit, late.event("x", 1), dispatched(routing, before), dispatched(routing, after))
    assert await waiting(audit, late.name) == [after]
