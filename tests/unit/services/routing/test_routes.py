"""Routes of routing as plain functions: each called alone, without a server or a database."""

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import URL
from starlette.requests import Request

from services.routing.commands import Sender
from services.routing.http import api, desk
from services.routing.http.access import Access, access, unit_to_act_for, unit_to_read
from services.routing.http.answers import page_of_rows, parse_cursor
from services.routing.http.context import Context, context
from services.routing.queries import Cursor, TriageRow
from shared.contracts.routing import SignAction
from shared.packs import Packs
from shared.policy.loader import load_pack
from shared.settings import REPOSITORY
from shared.unit_of_work.idempotency import Answer
from shared.web.api_keys import Machine
from shared.web.problems import Problem
from shared.web.session import Person
from tests.unit.shared.made import no_connection

NOW = dt.datetime(2026, 11, 24, 2, tzinfo=dt.UTC)
CASE = "019ab0e5-0000-7000-8000-000000000001"
OFFICER = Access("person:officer-1", frozenset({"water"}), sees_all=False)
DISPATCHER = Access("person:dispatcher-1", frozenset(), sees_all=True)
FOLDER = REPOSITORY / "policies" / "cn-city"


class RecordedCommands:
    """Answers every command with one answer, and keeps what was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def act(self, sender: Sender, *asked: Any) -> Answer:
        self.asked.append((sender.actor, sender.request.key, *asked))
        return self.answer


def context_with(answer: Answer | None = None) -> tuple[Context, RecordedCommands]:
    commands = RecordedCommands(answer or Answer(200, {}))
    database = SimpleNamespace(clock=SimpleNamespace(now=lambda: NOW))
    packs = Packs(load_pack(FOLDER), Path(FOLDER), no_connection)
    return Context(database, packs, commands, SimpleNamespace()), commands


def request(path: str, **headers: str) -> Request:
    scope = {
        "type": "http",
        "method": "POST",
        "path": URL(path).path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    return Request(scope, receive)


def problem(raised: pytest.ExceptionInfo[Problem]) -> tuple[int, str]:
    return raised.value.status_code, raised.value.slug


async def test_a_route_finds_the_context_of_its_application() -> None:
    made, _ = context_with()
    asked = request("/api/routing/v1/units")
    asked.scope["app"] = SimpleNamespace(state=SimpleNamespace(context=made))
    assert await context(asked) is made


async def test_the_units_are_those_of_the_pack_in_force() -> None:
    made, _ = context_with()
    listed = await api.list_units(made)
    assert listed.policy_version == made.packs.current.version
    assert [unit.code for unit in listed.items] == [unit.code for unit in made.packs.current.departments]


async def test_the_catalogue_explains_a_match_and_a_miss() -> None:
    made, _ = context_with()
    matched = await api.explain(made, "municipal-manhole", "yunxi")
    assert (matched.lead, matched.reason, matched.on) == ("yunxi-urban", "matched", dt.date(2026, 11, 24))
    missed = await api.explain(made, "no-such-service")
    assert (missed.lead, missed.reason) == (None, "unknown_service")


async def test_a_signature_is_the_command_of_the_callers_unit_under_its_key() -> None:
    body = {"id": CASE, "state": "held", "allowed": ["reply"], "event": "e-1", "sequence": 2}
    made, commands = context_with(Answer(200, body))
    done = await api.sign(request(f"/cases/{CASE}", idempotency_key="k-1"), made, OFFICER, CASE)
    assert done.model_dump() == body
    assert commands.asked == [("person:officer-1", "k-1", CASE, "water", SignAction())]


async def test_a_refusal_is_a_problem_with_the_rule_and_what_is_allowed() -> None:
    refused = {"state": "held", "rule": "signed_already", "allowed": ["reply", "return"]}
    made, _ = context_with(Answer(409, refused))
    with pytest.raises(Problem) as raised:
        await api.sign(request(f"/cases/{CASE}", idempotency_key="k-1"), made, OFFICER, CASE)
    assert problem(raised) == (409, "not-now")
    assert raised.value.extra == refused


async def test_an_id_that_no_case_can_have_is_a_missing_case() -> None:
    made, _ = context_with()
    with pytest.raises(Problem) as raised:
        await api.show_case(made, OFFICER, "' OR 1=1")
    assert problem(raised) == (404, "no-such-case")


def person(role: str, unit: str | None = None) -> Person:
    return Person("p-1", "李经办", frozenset({role}), unit, NOW)


def machine(*scopes: str, unit: str | None = None) -> Machine:
    return Machine("m-1", frozenset(scopes), unit)


def asked_by(known: Person | Machine | None) -> Request:
    """A request whose session or API key is this caller's."""
    headers = {"authorization": "Bearer key"} if isinstance(known, Machine) else {}
    made = request("/desk", **headers)
    sessions = SimpleNamespace(person=lambda _: known)
    api_keys = SimpleNamespace(machine=lambda _: known)
    web = SimpleNamespace(sessions=sessions, api_keys=api_keys)
    made.scope["app"] = SimpleNamespace(state=SimpleNamespace(web=web))
    return made


@pytest.mark.parametrize(
    ("known", "acts_for", "sees_all"),
    [
        (person("officer", "water"), {"water"}, False),
        (person("dispatcher"), set(), True),
        (person("oversight", "water"), set(), True),
        (machine("unit:water", "unit:power"), {"water", "power"}, False),
        (machine("unit:water", "unit:power", unit="water"), {"water"}, False),
        (machine("dispatch"), set(), True),
    ],
)
async def test_role_unit_and_scopes_decide_what_a_caller_may_do(
    known: Person | Machine, acts_for: set[str], sees_all: bool
) -> None:
    assert await access(asked_by(known)) == Access(known.actor, frozenset(acts_for), sees_all)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, (401, "sign-in-needed")),
        (person("officer"), (403, "no-unit")),
        (person("operator", "water"), (403, "no-unit")),
        (machine("status"), (403, "no-unit")),
    ],
)
async def test_a_caller_without_a_unit_or_a_role_gets_a_problem(
    known: Person | Machine | None, expected: tuple[int, str]
) -> None:
    with pytest.raises(Problem) as raised:
        await access(asked_by(known))
    assert problem(raised) == expected


def test_a_caller_acts_and_reads_for_its_own_units() -> None:
    assert unit_to_act_for(OFFICER, None) == unit_to_read(OFFICER, None) == "water"
    assert unit_to_read(DISPATCHER, "water") == "water"
    several = Access("machine:m", frozenset({"water", "power"}), sees_all=False)
    assert unit_to_act_for(several, "power") == "power"


@pytest.mark.parametrize(
    ("choose", "granted", "wanted", "expected"),
    [
        (unit_to_act_for, OFFICER, "power", (403, "not-your-unit")),
        (unit_to_act_for, DISPATCHER, None, (403, "no-unit")),
        (unit_to_act_for, Access("m", frozenset("ab"), sees_all=False), None, (422, "which-unit")),
        (unit_to_read, OFFICER, "power", (403, "not-your-unit")),
        (unit_to_read, DISPATCHER, None, (422, "which-unit")),
    ],
)
def test_a_unit_that_cannot_be_chosen_is_a_problem(
    choose: Any, granted: Access, wanted: str | None, expected: tuple[int, str]
) -> None:
    with pytest.raises(Problem) as raised:
        choose(granted, wanted)
    assert problem(raised) == expected


async def test_an_empty_field_of_the_desks_filters_counts_as_not_sent() -> None:
    shown = await desk.filters(unit="", state="", q="  ", cursor="")
    assert shown == desk.Filters()
    assert shown.query(after=2) == "?after=2"


def test_the_cursor_of_a_page_leads_to_its_last_row() -> None:
    def row(number: int) -> TriageRow:
        known = dict.fromkeys(TriageRow._fields)
        return TriageRow(**known | {"id": f"case-{number}", "since": NOW + dt.timedelta(hours=number)})

    page = page_of_rows([row(1), row(2), row(3)], 2)
    assert [one.id for one in page.items] == ["case-1", "case-2"]
    assert parse_cursor(page.next) == Cursor(NOW + dt.timedelta(hours=2), "case-2")
    assert page_of_rows([row(1)], 2).next is None
    assert parse_cursor(None) is None


@pytest.mark.parametrize("cursor", ["garbage", "WyJ4IiwieSJd"])
def test_a_cursor_of_another_list_is_a_problem(cursor: str) -> None:
    with pytest.raises(Problem) as raised:
        parse_cursor(cursor)
    assert problem(raised) == (400, "bad-cursor")
