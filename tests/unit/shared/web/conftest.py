"""A small service made like a real one, with a page for every component."""

import datetime as dt
import hashlib
import secrets
import textwrap
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shared.clock import machine_now
from shared.web.api_keys import Machine
from shared.web.app import create_app
from shared.web.bodies import FieldError, blank_form, read_form, read_model
from shared.web.callers import Caller, access_end, caller, require, require_caller, require_scope
from shared.web.health import Reasons, none
from shared.web.openapi import takes
from shared.web.pages import Pages
from shared.web.problems import Problem
from shared.web.session import Person
from shared.web.settings import WebSettings
from shared.web.state import web_state

KEY = "0" * 63 + "1"
SCRIPT = "<script>alert(1)</script>"

PAGE = """
{% extends "citizen.html" %}
{% block title %}{{ text }}{% endblock %}
{% block main %}
{{ ui.error_summary(errors) }}
<h1>{{ text }}</h1>
<form method="post" action="/form">{{ ui.guard(text) }}
{{ ui.field("title", text, text, hint=text, errors=errors, autocomplete=text, width="short") }}
{{ ui.textarea("text", text, text, hint=text, errors=errors) }}
{{ ui.select("kind", text, [(text, text)], text, hint=text, errors=errors) }}
{{ ui.radios("how", text, [(text, text, text)], text, hint=text, errors=errors) }}
{{ ui.checkbox("agree", text, value=text, errors=errors) }}
{{ ui.button(text, name=text, value=text) }}
</form>
{{ ui.summary_list([(text, text, text, text)]) }}
{{ ui.tag(text, "warn") }} {{ ui.when(moment, text) }} {{ ui.when_short(moment, text) }}
{% set step = {"title": text, "state": "current", "at": moment, "by": text, "text": text, "words": text} %}
{{ ui.timeline([step, {"title": text, "state": "next"}]) }}
{% call ui.notice(text, "warn") %}<p>{{ text }}</p>{% endcall %}
{{ ui.confirmation(text, text, text) }}
{{ ui.empty(text, text, text, text) }}
{{ ui.pagination("/a?x=" ~ text, "/b?x=" ~ text) }}
{{ ui.link_button(text, "/c?x=" ~ text) }}
{% call(part) ui.live("/api/sample/v1/stream?x=" ~ text) %}
{% if part == "row" %}<li>{{ text }}</li>{% endif %}
{% endcall %}
{% endblock %}
"""

FORM = """
{% extends "citizen.html" %}
{% block main %}
{{ ui.error_summary(form.errors) }}
<form method="post" action="/form">{{ ui.guard() }}
{{ ui.field("title", "T", form.typed.title, errors=form.errors) }}
{{ ui.textarea("text", "X", form.typed.text, errors=form.errors) }}
{% for kind in form.chosen.kinds | default(()) %}{{ ui.checkbox("kinds", kind, true, kind) }}{% endfor %}
</form>
{% endblock %}
"""

DESK = """
{% extends "desk.html" %}
{% block title %}Desk{% endblock %}
{% block list_href %}/desk?x={{ text | urlencode }}{% endblock %}
{% block list %}<ol class="rows"><li data-row><a href="/x">{{ text }}</a></li></ol>{% endblock %}
{% block case %}{% if open_case %}<h1>{{ text }}</h1>{% endif %}{% endblock %}
"""


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lat: float


class Note(BaseModel):
    """What the sample API takes."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=20)]
    text: str = ""
    kind: Literal["ask", "praise"] = "ask"
    stars: int = 0
    urgent: bool = False
    places: list[Point] = []


class NoteForm(BaseModel):
    title: Annotated[str, Field(max_length=20)]
    text: str
    kinds: list[str] = []


Officer = Annotated[Person, Depends(require("officer"))]
router = APIRouter()


def render(request: Request, name: str, **context: Any) -> Response:
    return web_state(request).pages.render(request, name, **context)


@router.post("/api/sample/v1/notes", openapi_extra=takes(Note))
async def post_note(request: Request) -> Note:
    return await read_model(request, Note)


@router.get("/api/sample/v1/notes")
async def list_notes(limit: Annotated[int, Field(ge=1, le=200)] = 50) -> int:
    return limit


@router.post("/api/sample/v1/raw", include_in_schema=False)
async def raw(request: Request) -> int:
    return len(await request.body())


@router.get("/boom")
@router.get("/api/sample/v1/boom")
async def boom() -> None:
    raise RuntimeError("the password is swordfish")


@router.get("/api/sample/v1/outage")
async def outage() -> None:
    raise asyncpg.CannotConnectNowError("the database system is starting up")


@router.get("/gone")
async def gone() -> None:
    raise Problem(404, "no-such-case", "No such case", "Nothing is known under this number.")


@router.get("/page")
async def page(request: Request) -> Response:
    errors = [FieldError(name, "missing") for name in ("title", "text", "kind", "how", "agree")]
    moment = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)
    return render(request, "page.html", text=SCRIPT, errors=errors, moment=moment)


@router.get("/desk")
async def desk(request: Request, opened: bool = True) -> Response:
    return render(request, "list.html", text=SCRIPT, open_case=opened)


@router.get("/form")
async def form(request: Request) -> Response:
    return render(request, "form.html", form=blank_form())


@router.post("/form")
async def send_form(request: Request) -> Response:
    form = await read_form(request, NoteForm)
    if form.value is None:
        return render(request, "form.html", status=422, form=form)
    return Response(form.value.model_dump_json(), media_type="application/json")


@router.get("/as/{role}")
async def sign_in_as(request: Request, role: str) -> Response:
    response = RedirectResponse("/page", 303)
    person = Person("u-1", "李经办", frozenset({role}), "water", machine_now().replace(microsecond=0))
    web_state(request).sessions.sign_in(response, person)
    return response


@router.get("/access-end")
async def ends(request: Request) -> dt.datetime | None:
    return access_end(request)


@router.get("/staff")
async def staff(person: Annotated[Person, Depends(require("officer", "clerk"))]) -> str:
    return person.name


@router.get("/api/sample/v1/staff")
async def api_staff(person: Officer) -> str:
    return person.name


@router.get("/api/sample/v1/machine")
async def machine(calling: Annotated[Machine, Depends(require_scope("notes.write"))]) -> str:
    return calling.name


@router.get("/api/sample/v1/either")
async def either(
    calling: Annotated[Person | Machine, Depends(require_caller("officer", scope="notes.write"))],
) -> str:
    return calling.actor


@router.get("/api/sample/v1/whoami")
async def whoami(calling: Annotated[Caller, Depends(caller)]) -> str:
    return calling.actor


@pytest.fixture(scope="session")
def api_key() -> str:
    return secrets.token_hex(32)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, api_key: str) -> WebSettings:
    keys = tmp_path_factory.mktemp("keys") / "keys.yaml"
    digest = hashlib.sha256(api_key.encode()).hexdigest()
    other = hashlib.sha256(b"other").hexdigest()
    keys.write_text(
        textwrap.dedent(f"""
        - {{name: water-backend, sha256: {digest}, scopes: [notes.write], unit: water}}
        - {{name: reader, sha256: {other}, scopes: [notes.read]}}
        """)
    )
    return WebSettings(secret_key=SecretStr(KEY), api_keys_file=keys)


@pytest.fixture(scope="session")
def sample_pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    package = tmp_path_factory.mktemp("packages") / "sample_service"
    messages = package / "pages" / "messages"
    messages.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for name, template in (("page", PAGE), ("form", FORM), ("list", DESK)):
        (package / "pages" / f"{name}.html").write_text(template)
    (messages / "en.yaml").write_text(
        "problem.no-such-case.title: We know no such case\nform.title.missing: Give it a title\n"
    )
    (messages / "zh.yaml").write_text(
        "problem.no-such-case.title: 没有这件诉求\nform.title.missing: 请填写标题\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(package.parent))
        return Pages("sample_service")


MakeApp = Callable[..., FastAPI]


@pytest.fixture
def make_app(sample_pages: Pages) -> MakeApp:
    def make(settings: WebSettings, ready: Reasons = none, degraded: Reasons = none) -> FastAPI:
        return create_app(
            "sample",
            title="Sample",
            routers=[router],
            settings=settings,
            ready=ready,
            degraded=degraded,
            pages=sample_pages,
        )

    return make


@pytest.fixture
async def client(make_app: MakeApp, settings: WebSettings) -> AsyncIterator[httpx.AsyncClient]:
    async with _client(make_app(settings)) as client:
        yield client


@pytest.fixture
def client_of() -> Callable[[FastAPI], httpx.AsyncClient]:
    return _client


def _client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080")
