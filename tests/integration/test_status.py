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


async def test_what_is_expected_twice_keeps_its_age(inquiry: Database) -> None:
    case = await expect_since(inquiry, minutes=11)
    async with inquiry.transaction([case]) as tx:
        tx.expect(case, "dispatch")
    await UnansweredWatch(inquiry).check()
    assert UNANSWERED.labels("dispatch")._value.get() == 1
