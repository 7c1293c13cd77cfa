"""Routes are plain functions: each answers alone, without application or database."""

import datetime as dt
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from harness.fixed_clock import FixedClock
from services.publisher.commands.publications import NoSuchPublication
from services.publisher.commands.subscriptions import NoSuchSubscription, SubscriptionHasEnded
from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.http import feeds, pages, publications_api, subscription_pages, subscriptions_api
from services.publisher.http.answers import refusals
from services.publisher.http.context import Context, context
from services.publisher.push.guard import Guard
from shared.decision import Refusal, Refused
from shared.errors import Conflict
from shared.ids import new_id
from shared.unit_of_work.idempotency import KeyReused
from shared.web.pages import Pages
from shared.web.problems import Problem
from shared.web.session import Person

SECRET = "00" * 32
NOW = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)
IDENTIFIER = new_id(NOW)
PUBLICATIONS = "/api/publisher/v1/publications"
ROW = {
    "id": IDENTIFIER,
    "state": "draft",
    "version": 2,
    "published_at": NOW,
    "updated_at": NOW,
    "withdrawal_reason": None,
    "title": "T",
    "summary": "S",
    "body": "B",
    "topics": ["housing"],
    "document_number": None,
    "effective_from": None,
}


@dataclass
class Pool:
    """Answers every statement with `rows`; `asked` keeps the parameters."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    value: Any = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def fetch(self, _: str, *parameters: Any) -> list[dict[str, Any]]:
        self.asked.append(parameters)
        return self.rows

    async def fetchrow(self, _: str, *parameters: Any) -> dict[str, Any] | None:
        self.asked.append(parameters)
        return self.rows[0] if self.rows else None

    async def fetchval(self, _: str, *parameters: Any) -> Any:
        self.asked.append(parameters)
        return self.value


class Rendered(Pages):
    """Gives what would be rendered."""

    def render(self, request: Request, name: str, *, status: int = 200, **context: Any) -> Any:  # noqa: ARG002
        return SimpleNamespace(name=name, status_code=status, values=context)


def context_over(pool: Pool) -> Context:
    database: Any = SimpleNamespace(pool=pool, clock=FixedClock(NOW))
    return Context(
        database=database,
        pages=Rendered("services.publisher"),
        secrets=DerivedSecrets(SECRET),
        guard=Guard(allow_private=False),
        public_url="https://city.example",
        policy="p-1",
        jurisdiction="CN",
        mail_works=True,
        plain_http=False,
    )


def request(path: str = "/", *, body: Any = None, **headers: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    settings = SimpleNamespace(language="en")
    web = SimpleNamespace(sessions=SimpleNamespace(person=lambda _: None), settings=settings)
    sent = {"content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
        "client": ("192.0.2.1", 1),
        "app": SimpleNamespace(state=SimpleNamespace(web=web)),
    }
    return Request(scope, receive)


def person(*roles: str) -> Person:
    return Person("editor-3", "Editor", frozenset(roles), None, NOW)


def read(response: Response) -> Any:
    return json.loads(bytes(response.body))


async def test_the_context_is_that_of_the_application() -> None:
    ctx, asked = context_over(Pool()), request()
    asked.app.state.context = ctx
    assert await context(asked) is ctx


async def test_the_list_shows_a_correction_that_is_not_public_yet_as_published() -> None:
    pool = Pool([ROW])
    answer = read(await publications_api.list_publications(context_over(pool), topic="housing", limit=1))
    (item,) = answer["items"]
    assert (item["state"], item["published_at"]) == ("published", "2026-11-24T01:30:00Z")
    assert item["url"] == f"https://city.example/policies/{IDENTIFIER}"
    assert answer["next"] is None
    assert pool.asked == [(None, None, "housing", 2)]


async def test_a_page_that_is_full_has_a_cursor_to_the_next_one() -> None:
    pool = Pool([ROW, ROW])
    ctx = context_over(pool)
    first = read(await publications_api.list_publications(ctx, limit=1))
    await publications_api.list_publications(ctx, cursor=first["next"], limit=1)
    assert pool.asked[-1] == (NOW, IDENTIFIER, 2)


@pytest.mark.parametrize("identifier", ["nonsense", "x\0y", IDENTIFIER], ids=["nonsense", "nul", "unknown"])
async def test_a_publication_that_is_not_there_is_404(identifier: str) -> None:
    with pytest.raises(Problem) as raised:
        await publications_api.get_publication(request(), context_over(Pool()), identifier)
    assert raised.value.status_code == 404


async def test_an_invalid_id_is_not_looked_up() -> None:
    pool = Pool()
    asked = request(f"{PUBLICATIONS}/nonsense/approve", body={"version": 1}, idempotency_key="k")
    with pytest.raises(Problem) as raised:
        await publications_api.approve(asked, context_over(pool), "nonsense", person("approver"))
    assert raised.value.status_code == 404
    assert pool.asked == []


async def test_a_write_without_idempotency_key_is_refused_before_the_database() -> None:
    asked = request(PUBLICATIONS, body={"title": "T", "body": "B"})
    with pytest.raises(Problem) as raised:
        await publications_api.create(asked, context_over(Pool()), person("editor"))
    assert raised.value.status_code == 400


async def test_the_home_page_shows_the_latest_publications() -> None:
    shown: Any = await pages.home(request(), context_over(Pool([ROW])))
    assert shown.name == "home.html"
    assert [each.title for each in shown.values["latest"]] == ["T"]


async def test_a_feed_that_has_not_changed_is_304() -> None:
    ctx = context_over(Pool([ROW], value=NOW))
    first = await feeds.feed(request(), ctx, "housing", "json")
    assert first.status_code == 200
    again = await feeds.feed(request(if_none_match=first.headers["etag"]), ctx, "housing", "json")
    assert (again.status_code, bytes(again.body)) == (304, b"")


async def test_a_feed_of_an_unknown_topic_is_404() -> None:
    with pytest.raises(Problem) as raised:
        await feeds.feed(request(), context_over(Pool()), "unknown", "atom")
    assert raised.value.status_code == 404


@pytest.mark.parametrize("route", [subscriptions_api.leave, subscriptions_api.rotate, subscriptions_api.look])
async def test_a_subscription_needs_its_secret(route: Any) -> None:
    with pytest.raises(Problem) as raised:
        await route(request(), context_over(Pool()), IDENTIFIER, None)
    assert raised.value.status_code == 401


@pytest.mark.parametrize("url", [None, "ftp://example.org/", "http://example.org/"])
async def test_an_unusable_webhook_url_is_refused(url: str | None) -> None:
    asked = request(subscriptions_api.SUBSCRIPTIONS, body={"lane": "webhook", "url": url})
    with pytest.raises(Problem) as raised:
        await subscriptions_api.subscribe(asked, context_over(Pool()))
    assert raised.value.status_code == 422


async def test_a_link_shows_a_button_and_changes_nothing() -> None:
    pool = Pool()
    ctx = context_over(pool)
    token = ctx.secrets.token("confirm", IDENTIFIER)
    path = f"/subscribe/confirm/{IDENTIFIER}/{token}"
    shown: Any = await subscription_pages.confirm_page(request(path), ctx, IDENTIFIER, token)
    assert shown.values == {"message": "confirm", "action": path}
    assert pool.asked == []


async def test_the_token_of_one_link_does_not_open_the_other() -> None:
    ctx = context_over(Pool())
    token = ctx.secrets.token("confirm", IDENTIFIER)
    with pytest.raises(Problem) as raised:
        await subscription_pages.leave(request(), ctx, IDENTIFIER, token)
    assert raised.value.status_code == 404


async def test_a_subscription_that_has_lapsed_answers_410_to_its_link() -> None:
    ctx = context_over(Pool())
    token = ctx.secrets.token("confirm", IDENTIFIER)
    shown: Any = await subscription_pages.confirm(request(), ctx, IDENTIFIER, token)
    assert (shown.status_code, shown.values["message"]) == (410, "lapsed")


def test_requests_for_one_address_are_limited() -> None:
    ctx = context_over(Pool())
    for _ in range(3):
        ctx.limit(request(), "one@example.org")
    with pytest.raises(Problem) as raised:
        ctx.limit(request(), "one@example.org")
    assert raised.value.status_code == 429
    ctx.limit(request(), "two@example.org")


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (NoSuchPublication("x"), 404, "no-such-publication"),
        (NoSuchSubscription("x"), 404, "no-such-subscription"),
        (SubscriptionHasEnded("x"), 409, "subscription-ended"),
        (Refused(Refusal("draft", "second_person", ("revise",))), 409, "rule-second-person"),
        (KeyReused("x"), 409, "key-reused"),
        (Conflict("x"), 409, "conflict"),
    ],
)
def test_every_error_of_a_command_is_a_problem(error: Exception, status: int, slug: str) -> None:
    with pytest.raises(Problem) as raised, refusals():
        raise error
    assert (raised.value.status_code, raised.value.slug) == (status, slug)
