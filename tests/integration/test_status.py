"""`civicloom status` on the tables of four services, and what `/readyz` says of unanswered cases."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from zoneinfo import ZoneInfo

import pytest

from harness.schema import SECRET, open_service_database
from services import cli
from shared.clock import machine_now
from shared.ids import case_number, new_id
from shared.metrics import UNANSWERED
from shared.settings import SERVICES
from shared.unanswered import UnansweredWatch
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import count_unanswered, unanswered

pytestmark = pytest.mark.integration


@pytest.fixture
async def inquiry(database: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    for service in SERVICES:
        await (await open_service_database(database, service)).close()
    opened = await open_service_database(database, "inquiry", namespace=namespace)
    for name, value in {"DATABASE_URL": database, "TOPIC_NAMESPACE": namespace, "SECRET_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    yield opened
    await opened.pool.execute("TRUNCATE expectation, aggregate")
    await opened.close()


async def run(*arguments: str) -> int:
    """Runs the command in a thread: it has an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, cli.main, list(arguments))


async def expect_since(inquiry: Database, minutes: float) -> str:
    case = new_id(machine_now())
    async with inquiry.transaction([case]) as tx:
        tx.expect(case, "dispatch")
    await inquiry.pool.execute(
        "UPDATE expectation SET since = $2 WHERE subject = $1",
        case,
        machine_now() - dt.timedelta(minutes=minutes),
    )
    return case


async def test_nothing_waits(inquiry: Database, capsys: pytest.CaptureFixture[str]) -> None:
    await expect_since(inquiry, minutes=9)
    assert await run("status") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SERVICES)


async def test_a_case_without_an_answer_is_named(
    inquiry: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    case = await expect_since(inquiry, minutes=11)
    assert await run("status") == 1
    number = case_number(case, ZoneInfo("Asia/Shanghai"))
    assert f"case {number} waits for routing's dispatch or triage since" in capsys.readouterr().out
    assert await run("status", "--minutes", "12", "--json") == 0
    capsys.readouterr()
    assert await run("status", "--json") == 1
    (named,) = [one for service in json.loads(capsys.readouterr().out) for one in service["unanswered"]]
    assert (named["case"], named["expects"]) == (case, "dispatch")


async def test_the_watch_counts_and_stops_counting(inquiry: Database) -> None:
    watch = UnansweredWatch(inquiry)
    case = await expect_since(inquiry, minutes=11)
    await watch.check()
    assert watch.reasons() == {"cases": "unanswered: 1 for dispatch; `civicloom status` names them"}
    assert UNANSWERED.labels("dispatch")._value.get() == 1
    async with inquiry.transaction([case]) as tx:
        tx.fulfil(case, "dispatch")
    await watch.check()
    assert watch.reasons() == {}
    assert UNANSWERED.labels("dispatch")._value.get() == 0


async def test_a_pile_is_counted_up_to_a_bound_and_hides_no_other_kind(inquiry: Database) -> None:
    await expect_since(inquiry, minutes=11)
    await inquiry.pool.execute(
        "INSERT INTO expectation SELECT 'case-' || i, 'intake', '', $1 FROM generate_series(1, $2::int) i",
        machine_now() - dt.timedelta(minutes=20),
        10_001,
    )
    watch = UnansweredWatch(inquiry)
    await watch.check()
    cases = "unanswered: 10,000 or more for intake, 1 for dispatch; `civicloom status` names them"
    assert watch.reasons() == {"cases": cases}
    assert UNANSWERED.labels("intake")._value.get() == 10_000


async def test_a_case_that_several_units_keep_waiting_is_one(inquiry: Database) -> None:
    case = new_id(machine_now())
    async with inquiry.transaction([case]) as tx:
        for unit in ("roads", "water", "parks"):
            tx.expect(case, "delivery", unit)
    now = machine_now()
    await inquiry.pool.execute("UPDATE expectation SET since = $1", now - dt.timedelta(minutes=11))
    # A unit before the others in the alphabet that is not overdue hides none that is.
    await inquiry.pool.execute("UPDATE expectation SET since = $1 WHERE party = 'parks'", now)
    before = now - dt.timedelta(minutes=10)
    assert (await count_unanswered(inquiry.pool, before))["delivery"] == (1, False)
    assert [one.party for one in await unanswered(inquiry.pool, before, 9)] == ["roads", "water"]


async def test_the_longest_overdue_of_all_kinds_come_first(inquiry: Database) -> None:
    cases = [await expect_since(inquiry, minutes=minutes) for minutes in (12, 14, 13)]
    await inquiry.pool.execute("UPDATE expectation SET kind = 'answer' WHERE subject = $1", cases[2])
    named = await unanswered(inquiry.pool, machine_now(), 2)
    assert [(one.subject, one.kind) for one in named] == [(cases[1], "dispatch"), (cases[2], "answer")]


async def test_what_is_expected_twice_keeps_its_age(inquiry: Database) -> None:
    case = await expect_since(inquiry, minutes=11)
    async with inquiry.transaction([case]) as tx:
        tx.expect(case, "dispatch")
    await UnansweredWatch(inquiry).check()
    assert UNANSWERED.labels("dispatch")._value.get() == 1
