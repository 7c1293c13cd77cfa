"""`civicloom waits`: what cases wait for, page by page, and what an operator gives up of it."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from harness.schema import SECRET, open_service_database
from services import cli
from shared.clock import machine_now
from shared.ids import case_number, new_id
from shared.settings import SERVICES, ServiceName
from shared.unanswered import UnansweredWatch
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import Kind

pytestmark = pytest.mark.integration
Opened = dict[ServiceName, Database]
ZONE = ZoneInfo("Asia/Shanghai")
REASON = "the broker lost it, and nobody has kept it"


@pytest.fixture
async def opened(database: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    found = {
        service: await open_service_database(database, service, namespace=namespace) for service in SERVICES
    }
    for name, value in {"DATABASE_URL": database, "TOPIC_NAMESPACE": namespace, "SECRET_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    yield found
    for one in found.values():
        await one.pool.execute("TRUNCATE expectation, aggregate, outbox")
        await one.close()


async def run(*arguments: str) -> int:
    """Runs the command in a thread: it has an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, cli.main, list(arguments))


async def waiting(database: Database, kind: Kind, party: str = "", minutes: float = 11) -> str:
    """A case that has waited for so long."""
    case = new_id(machine_now())
    async with database.transaction([case]) as tx:
        tx.expect(case, kind, party)
    since = machine_now() - dt.timedelta(minutes=minutes)
    await database.pool.execute("UPDATE expectation SET since = $2 WHERE subject = $1", case, since)
    return case


async def end(service: str, case: str, kind: str, *more: str) -> int:
    return await run(
        *("waits", "end", service, case, "--kind", kind, "--reason", REASON, "--operator", "ada"), *more
    )


async def events(database: Database) -> list[dict[str, Any]]:
    rows = await database.pool.fetch("SELECT value, words FROM outbox ORDER BY id")
    return [orjson.loads(row["value"]) | {"words": orjson.loads(row["words"])} for row in rows]


async def standing(database: Database) -> list[tuple[str, bool]]:
    """Kind of each wait in the table, and whether it was given up."""
    rows = await database.pool.fetch("SELECT kind, ended_at FROM expectation ORDER BY kind")
    return [(row["kind"], row["ended_at"] is not None) for row in rows]


@pytest.mark.parametrize("service", SERVICES)
async def test_what_is_given_up_is_an_event_and_no_longer_an_alarm(
    opened: Opened, service: ServiceName, capsys: pytest.CaptureFixture[str]
) -> None:
    case = await waiting(opened[service], "intake")
    number = case_number(case, ZONE)
    assert await run("status") == 1
    assert await run("waits", "list") == 1
    assert f"{service}  {number} {case}  intake  waits for inquiry's word" in capsys.readouterr().out
    assert await end(service, number.lower(), "intake") == 0
    assert capsys.readouterr().out == (
        f"{service}: case {number} no longer waits for inquiry's word that the case exists\n"
    )
    (event,) = await events(opened[service])
    assert (event["type"], event["subject"]) == (f"civic.{service}.wait_ended.v1", case)
    assert (event["source"], event["actor"]) == (f"/services/{service}", "operator:ada")
    assert (event["data"]["kind"], event["data"]["operator"]) == ("intake", "ada")
    assert event["words"]["text"] == REASON
    assert await run("status") == 0
    assert await run("waits", "list") == 0
    assert "no case waits" in capsys.readouterr().out
    watch = UnansweredWatch(opened[service])
    await watch.check()
    assert watch.reasons() == {}


async def test_an_intake_that_was_given_up_is_shown_by_all_and_does_not_wait_again(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    routing = opened["routing"]
    case = await waiting(routing, "intake")
    assert await end("routing", case, "intake", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["case"], done["kind"], done["party"]) == (case, "intake", None)
    assert await run("waits", "list", "--all", "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["case"], shown["ended_at"] is not None) == (case, True)
    assert await run("waits", "list", "--all") == 0
    assert ", given up 2" in capsys.readouterr().out
    async with routing.transaction([case]) as tx:
        tx.expect(case, "intake")
    assert await standing(routing) == [("intake", True)]
    async with routing.transaction([case]) as tx:
        tx.fulfil(case, "intake")
    assert await standing(routing) == []


@pytest.mark.parametrize("kind", ["dispatch", "answer", "contact"])
async def test_any_other_wait_begins_again_when_the_case_expects_it_again(opened: Opened, kind: Kind) -> None:
    inquiry = opened["inquiry"]
    case = await waiting(inquiry, kind)
    assert await end("inquiry", case, kind) == 0
    assert await standing(inquiry) == []
    async with inquiry.transaction([case]) as tx:
        tx.expect(case, kind)
    assert await standing(inquiry) == [(kind, False)]


async def test_of_a_delivery_the_unit_is_named_and_the_others_go_on_waiting(opened: Opened) -> None:
    routing = opened["routing"]
    case = await waiting(routing, "delivery", "water")
    async with routing.transaction([case]) as tx:
        tx.expect(case, "delivery", "roads")
    assert await end("routing", case, "delivery") == 2
    assert await end("routing", case, "delivery", "--party", "water") == 0
    assert [event["data"]["party"] for event in await events(routing)] == ["water"]
    rows = await routing.pool.fetch("SELECT party FROM expectation")
    assert [row["party"] for row in rows] == ["roads"]


async def test_the_list_has_pages_and_a_page_has_all_of_its_cases(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    routing = opened["routing"]
    cases = sorted([await waiting(routing, "delivery", "water") for _ in range(5)])
    await routing.pool.execute(
        "INSERT INTO expectation SELECT subject, kind, 'roads', since FROM expectation"
    )
    await waiting(routing, "delivery", "water", minutes=9)
    found: list[str] = []
    after = ""
    for expected in (2, 2, 1):
        options = ("--service", "routing", "--limit", "2", "--after", after)
        assert await run("waits", "list", *options, "--json") == 1
        page = json.loads(capsys.readouterr().out)
        assert len(page) == 2 * expected
        found += sorted({one["case"] for one in page})
        assert await run("waits", "list", *options) == 1
        said = capsys.readouterr().out.splitlines()
        more = f"civicloom waits list --service routing --after {page[-1]['case']} --limit 2"
        assert (said[-1] == f"there may be more: {more}") == (expected == 2)
        after = page[-1]["case"]
    assert found == cases
    assert await run("waits", "list", "--minutes", "8", "--json") == 1
    assert len(json.loads(capsys.readouterr().out)) == 11


@pytest.mark.parametrize(
    ("service", "reference", "kind"),
    [
        ("inquiry", "the case", "intake"),
        ("routing", "the case", "answer"),
        ("routing", "nonsense", "intake"),
        ("routing", "20261124-7K3M9Q2XWB-F", "intake"),
        ("routing", "99999999-7K3M9Q2XWB-A", "intake"),
    ],
)
async def test_a_wait_that_is_not_there_is_a_sentence(
    opened: Opened, service: str, reference: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case = await waiting(opened["routing"], "intake")
    assert await end(service, case if reference == "the case" else reference, kind) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.startswith("civicloom: ")
    assert answer.err.count("\n") == 1
    assert await standing(opened["routing"]) == [("intake", False)]
    for one in opened.values():
        assert await events(one) == []
    assert await opened["inquiry"].pool.fetchval("SELECT count(*) FROM aggregate") == 0


async def test_what_was_given_up_cannot_be_given_up_twice(
    opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    case = await waiting(opened["routing"], "intake")
    assert await end("routing", case, "intake") == 0
    assert await end("routing", case, "intake") == 2
    assert "routing expects no intake about" in capsys.readouterr().err
    assert len(await events(opened["routing"])) == 1


@pytest.mark.parametrize("operator", ["", "x" * 201, "\udcff"])
async def test_an_operator_that_no_event_can_hold_is_a_sentence(
    opened: Opened, operator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case = await waiting(opened["routing"], "intake")
    assert await end("routing", case, "intake", "--operator", operator) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert await standing(opened["routing"]) == [("intake", False)]
