"""Pages escape everything, refer to nothing foreign, and have both languages."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import jinja2
import pytest
from fastapi import FastAPI
from jinja2 import nodes

import shared.web
from shared.web.csrf import CSRF_FIELD
from shared.web.i18n import LANGUAGES, MessageCatalogue
from shared.web.settings import WebSettings
from tests.unit.shared.web.responses import Tags

SCRIPT = "<script>alert(1)</script>"
WEB = Path(shared.web.__file__).parent
REPO = WEB.parents[1]
TEMPLATES = sorted([*WEB.glob("templates/*.html"), *REPO.glob("services/*/pages/**/*.html")])
MESSAGE_FOLDERS = [WEB / "messages", *sorted(REPO.glob("services/*/pages/messages"))]


@pytest.mark.parametrize("address", ["/page", "/desk"])
async def test_every_component_escapes_what_it_shows(client: httpx.AsyncClient, address: str) -> None:
    response = await client.get(address)
    assert response.status_code == 200
    assert "<script>" not in response.text
    assert "&lt;script&gt;" in response.text
    assert not [tag for tag in Tags(response.text).of("script") if "src" not in tag]


@pytest.mark.parametrize("address", ["/page", "/desk", "/form", "/gone"])
async def test_a_page_refers_to_nothing_outside_and_runs_nothing_inline(
    client: httpx.AsyncClient, address: str
) -> None:
    response = await client.get(address, headers={"Accept": "text/html"})
    for tag, attributes in Tags(response.text).tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in ("src", "href", "action"):
                assert value is not None
                assert value.startswith(("/", "#")) or SCRIPT in value, (tag, value)
                assert not value.startswith("//")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_labels_errors_and_summary_belong_to_their_fields(client: httpx.AsyncClient) -> None:
    tags = Tags((await client.get("/page")).text)
    ids = {attributes["id"] for _, attributes in tags.tags if "id" in attributes}
    targets = {attributes["for"] for attributes in tags.of("label")}
    summary = {str(tag["href"])[1:] for tag in tags.of("a") if str(tag["href"]).startswith("#")}
    described = {
        place
        for _, attributes in tags.tags
        for place in str(attributes.get("aria-describedby") or "").split()
    }
    assert targets
    assert len(summary) >= 6
    assert described
    assert targets | summary | described <= ids


@pytest.mark.parametrize("address", ["/gone", "/desk", "/desk?opened=false"])
async def test_a_page_has_one_first_heading_and_a_way_past_the_navigation(
    client: httpx.AsyncClient, address: str
) -> None:
    tags = Tags((await client.get(address, headers={"Accept": "text/html"})).text)
    assert len(tags.of("h1")) == 1
    skip = next(tag for tag in tags.of("a") if tag.get("class") == "skip")
    assert str(skip["href"])[1:] in {attributes.get("id") for _, attributes in tags.tags}


async def test_an_open_case_comes_first_for_the_keyboard_and_leads_back_to_its_list(
    client: httpx.AsyncClient,
) -> None:
    opened, closed = [(await client.get(f"/desk?opened={open_}")).text for open_ in ("true", "false")]
    back = [tag["href"] for tag in Tags(opened).of("a") if str(tag["href"]).startswith("/desk?x=")]
    assert len(back) == 1
    assert 'href="#case"' in opened
    assert "/desk?x=" not in closed
    assert 'href="#main"' in closed


async def test_the_title_says_first_that_a_form_came_back_with_errors(client: httpx.AsyncClient) -> None:
    form = await client.get("/form?lang=en")
    token = next(tag["value"] for tag in Tags(form.text).of("input") if tag["type"] == "hidden")
    assert "<title>Error" not in form.text
    failed = await client.post("/form", data={CSRF_FIELD: str(token), "text": "x"})
    assert failed.status_code == 422
    assert "<title>Error: " in failed.text


async def test_what_people_type_runs_in_the_direction_of_its_script(client: httpx.AsyncClient) -> None:
    tags = Tags((await client.get("/page")).text)
    typed = [tag for tag in tags.of("input") if tag["type"] == "text"] + tags.of("textarea")
    assert len(typed) == 2
    assert all(tag["dir"] == "auto" for tag in typed)


async def test_a_list_that_moves_can_be_held(client: httpx.AsyncClient) -> None:
    buttons = Tags((await client.get("/page")).text).of("button")
    assert [tag["aria-pressed"] for tag in buttons if "data-live-pause" in tag] == ["false"]


async def test_an_error_has_the_most_specific_text(client: httpx.AsyncClient) -> None:
    response = await client.get("/page", headers={"Accept-Language": "en"})
    assert response.text.count("Give it a title") == 2
    assert response.text.count("This field cannot be empty") == 8


async def test_language_is_chosen_by_link_then_cookie_then_browser_then_pack(
    client: httpx.AsyncClient, make_app: Callable[..., FastAPI], settings: WebSettings
) -> None:
    async def language(address: str, **headers: str) -> str:
        return (await client.get(address, headers=headers)).headers["content-language"]

    assert await language("/form") == "zh"
    assert await language("/form", **{"Accept-Language": "fr, en;q=0.8, zh;q=0.1"}) == "en"
    assert await language("/form", **{"Accept-Language": "fr, *;q=0.5"}) == "zh"
    assert await language("/form?lang=en") == "en"
    assert await language("/form", **{"Accept-Language": "zh"}) == "en"
    assert await language("/form?lang=xx", **{"Accept-Language": "zh"}) == "en"


async def test_moments_are_shown_in_the_zone_of_the_jurisdiction(client: httpx.AsyncClient) -> None:
    chinese = (await client.get("/page")).text
    assert "2026年11月24日 09:30（UTC+8）" in chinese
    assert 'datetime="2026-11-24T01:30:00+00:00"' in chinese
    assert "24 November 2026, 09:30 (UTC+8)" in (await client.get("/page?lang=en")).text


@pytest.mark.parametrize("folder", MESSAGE_FOLDERS, ids=lambda folder: str(folder.relative_to(REPO)))
def test_both_languages_have_the_same_texts_with_the_same_blanks(folder: Path) -> None:
    alone = MessageCatalogue.load([folder])
    zh, en = (alone.keys(language) for language in LANGUAGES)
    assert zh == en
    for key in zh:
        blanks = [set(re.findall(r"{(\w+)}", alone.template(language, key))) for language in LANGUAGES]
        assert blanks[0] == blanks[1], key


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(REPO)))
def test_every_text_that_a_template_names_exists(template: Path) -> None:
    folder = template.parent / "messages"
    catalogue = MessageCatalogue.load([folder] if folder.is_dir() else [])
    tree = jinja2.Environment(autoescape=True).parse(template.read_text("utf-8"))
    called = [
        call.args[0].value
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name)
        and call.node.name == "t"
        and call.args
        and isinstance(call.args[0], nodes.Const)
    ]
    assert [key for key in called if not catalogue.has(key)] == []
