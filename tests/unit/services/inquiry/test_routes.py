"""Route functions and their dependencies, called alone: no application, no database."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from services.inquiry.commands import NoSuchCase, NotYours
from services.inquiry.domain.concern import Concern, Contact
from services.inquiry.domain.states import State
from services.inquiry.http import open_api, staff_api
from services.inquiry.http.answers import errors_as_problems
from services.inquiry.http.clerk_pages import desk_href
from services.inquiry.http.context import context
from shared.contracts.inquiry import InquiryWords
from shared.decision import Refusal, Refused
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.idempotency import KeyReused
from shared.web.api_keys import Machine
from shared.web.problems import Problem
from shared.web.session import Person
from tests.paths import REPO
from tests.unit.services.inquiry.conftest import NOW
from tests.unit.shared.made import no_connection

CLERK = Person("u-7", "李受理", frozenset({"clerk"}), None, NOW)
MACHINE = Machine("reader", frozenset({"inquiries.read"}), None)


class FakePool:
    """Answers every query with these rows; remembers the arguments of the last."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.arguments: tuple[Any, ...] = ()

    async def fetch(self, _: str, *arguments: Any) -> list[dict[str, Any]]:
        self.arguments = arguments
        return self.rows


def row(number: int, visibility: str = "public") -> dict[str, Any]:
    words = orjson.dumps({"title": f"title {number}", "text": "text", "salt": "s"})
    return {
        **{"id": f"id-{number}", "number": f"number-{number}", "kind": "help", "service_code": "light"},
        **{"area": None, "visibility": visibility, "channel": "api", "urgent": False, "created": NOW},
        **{"due": None, "stage": "accepted", "holding": "signed", "lead": "housing", "words": words},
    }


def context_of(**parts: Any) -> Any:
    return SimpleNamespace(**parts)


@pytest.fixture
def policies(pack: Pack) -> Packs:
    return Packs(pack, REPO / "policies" / "cn-city", no_connection)


async def test_the_context_is_that_of_the_application_that_serves_the_request() -> None:
    app = FastAPI()
    app.state.context = object()
    assert await context(Request({"type": "http", "app": app})) is app.state.context


async def test_the_services_on_offer_are_the_active_ones(policies: Packs) -> None:
    answer = await open_api.services(context_of(policies=policies))
    active = [service.service_code for service in policies.current.services if service.active]
    assert [service["service_code"] for service in answer["services"]] == active
    assert answer["policy_version"] == policies.current.version


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"service_code": "nothing"}, "unknown-code"),
        ({"start": NOW.replace(tzinfo=None)}, "naive-moment"),
        ({"start": NOW.replace(year=9999)}, "beyond-calendar"),
    ],
)
async def test_a_deadline_that_cannot_be_computed_is_refused(
    policies: Packs, changes: dict[str, Any], slug: str
) -> None:
    ctx = context_of(policies=policies, database=context_of(pool=None))
    question = {"kind": "help", "service_code": "municipal-street-light", "start": NOW} | changes
    with pytest.raises(Problem) as refused:
        await open_api.deadline(ctx=ctx, **question)
    assert (refused.value.status_code, refused.value.slug) == (422, slug)


async def test_a_rework_is_due_earlier_than_the_first_reply(policies: Packs) -> None:
    ctx = context_of(policies=policies, database=context_of(pool=None))
    question = {"kind": "help", "service_code": "municipal-street-light", "start": NOW}
    first = await open_api.deadline(ctx=ctx, **question)
    again = await open_api.deadline(ctx=ctx, **question, rework=True)
    assert NOW < again["due"] < first["due"]


@pytest.mark.parametrize(
    ("url", "plain_http", "codes"),
    [
        (None, False, []),
        ("https://example.org/in", False, []),
        ("http://example.org/in", False, ["webhook"]),
        ("http://example.org/in", True, []),
    ],
)
def test_a_webhook_needs_https_unless_plain_http_is_allowed(
    url: str | None, plain_http: bool, codes: list[str]
) -> None:
    words = InquiryWords(title="t", text="x")
    concern = Concern(words, "help", "municipal-street-light", "api", contact=Contact(webhook=url))
    flaws = open_api.webhook_flaws(concern, plain_http=plain_http)
    assert [flaw.code for flaw in flaws] == codes


async def test_titles_of_secret_cases_are_listed_for_clerks_and_not_for_machines() -> None:
    ctx = context_of(database=context_of(pool=FakePool([row(1), row(2, "secret")])))
    for who, titles in ((CLERK, ["title 1", "title 2"]), (MACHINE, ["title 1", None])):
        answer = await staff_api.list_inquiries(ctx, who, limit=50)
        assert [item["title"] for item in answer["items"]] == titles
        assert [item["state"] for item in answer["items"]] == ["in_progress", "in_progress"]
        assert answer["next"] is None


async def test_a_list_goes_on_after_its_last_case() -> None:
    pool = FakePool([row(3), row(2), row(1)])
    ctx = context_of(database=context_of(pool=pool))
    first = await staff_api.list_inquiries(ctx, CLERK, limit=2)
    assert [item["id"] for item in first["items"]] == ["id-3", "id-2"]
    await staff_api.list_inquiries(ctx, CLERK, cursor=first["next"], limit=2)
    assert pool.arguments == ("id-2", 3)
    await staff_api.list_inquiries(ctx, CLERK, state=State.IN_PROGRESS, cursor=first["next"], limit=2)
    assert pool.arguments == ("signed", "id-2", 3)
    await staff_api.list_inquiries(ctx, CLERK, state=State.REPLIED, limit=2)
    assert pool.arguments == ("replied", None, 3)


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (Refused(Refusal("closed", "reopen_after_closing", ("erase",))), 409, "not-now"),
        (NoSuchCase("id"), 404, "no-such-case"),
        (NotYours("id"), 403, "not-your-case"),
        (KeyReused("key"), 409, "key-reused"),
    ],
)
def test_the_error_of_a_command_becomes_its_answer(error: Exception, status: int, slug: str) -> None:
    with pytest.raises(Problem) as answered, errors_as_problems():
        raise error
    assert (answered.value.status_code, answered.value.slug) == (status, slug)


def test_a_refusal_names_state_rule_and_what_is_allowed() -> None:
    with pytest.raises(Problem) as answered, errors_as_problems():
        raise Refused(Refusal("closed", "evaluate_after_the_reply", ("reopen", "erase")))
    members = answered.value.extra
    assert members == {
        "state": "closed",
        "rule": "evaluate_after_the_reply",
        "allowed": ["reopen", "erase"],
    }


def test_any_other_error_passes() -> None:
    with pytest.raises(ZeroDivisionError), errors_as_problems():
        raise ZeroDivisionError


def test_the_desk_is_linked_with_what_is_open() -> None:
    assert desk_href(case=None, cursor=None) == "/clerk"
    assert desk_href(case="20261124-0000000000-0", cursor="c") == "/clerk?case=20261124-0000000000-0&cursor=c"
