"""The pages as a browser without scripts uses them."""

import re
from html import unescape
from typing import Any

import httpx
import orjson
import pytest

from services.inquiry.http import clerk_pages
from shared.contracts.inquiry import ReplyWords
from shared.contracts.routing import AssignmentSigned, CaseDispatched, ReplyProposed
from tests.integration.inquiry.conftest import CONCERN, START, Running

PAGE = {"Accept": "text/html", "Accept-Language": "en"}
SCRIPT = "<script>alert('x')</script>"
ATTRIBUTE = '" autofocus onfocus="alert(1)'


def hidden(page: httpx.Response) -> dict[str, str]:
    return {
        name: unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    }


def filled(**changes: str) -> dict[str, str]:
    return {
        "kind": "help",
        "service_code": "municipal-street-light",
        "title": CONCERN["title"],
        "text": CONCERN["text"],
        "visibility": "withheld",
    } | changes


async def get(running: Running, path: str) -> httpx.Response:
    return await running.client.get(path, headers=PAGE)


async def send(running: Running, opened: str, action: str, fields: dict[str, str]) -> httpx.Response:
    page = await get(running, opened)
    assert page.status_code == 200, page.text
    return await running.client.post(action, data=hidden(page) | fields, headers=PAGE)


async def ask(running: Running, **changes: str) -> dict[str, Any]:
    """A concern by the form; its number and secret from the confirmation."""
    sent = await send(running, "/ask", "/ask", filled(**changes))
    assert sent.status_code == 303, sent.text
    page = await get(running, sent.headers["location"])
    number = re.search(r"\d{8}-[0-9A-Z]{10}-[0-9A-Z]", page.text)
    secret = re.search(r"\b(?:[0-9A-Z]{4}-){3}[0-9A-Z]{4}\b", page.text)
    assert number is not None
    assert secret is not None
    row = await running.database.pool.fetchrow("SELECT id FROM inquiry WHERE number = $1", number[0])
    return {"id": row["id"], "number": number[0], "secret": secret[0], "page": page}


async def brought_to_reply(running: Running, inquiry: str, text: str = "路灯已修复。") -> None:
    await running.apply(inquiry, CaseDispatched(lead="yunxi-urban", rule="r-1", attempt=1))
    await running.apply(inquiry, AssignmentSigned(unit="yunxi-urban", role="lead", action="a-1"))
    proposal = ReplyProposed(unit="yunxi-urban", outcome="solved", action="a-2")
    await running.apply(inquiry, proposal, ReplyWords(text=text))


async def test_a_citizen_asks_and_gets_number_secret_deadline_and_receipt_at_once(running: Running) -> None:
    asked = await ask(running, email="wang@example.cn")
    page = asked["page"].text
    assert "27 November 2026, 17:30 (UTC+8)" in page
    assert "3 working days left" in page
    assert "Why this date?" in page
    value = await running.database.pool.fetchval("SELECT value FROM received WHERE inquiry = $1", asked["id"])
    assert f"/log/proof/{orjson.loads(value)['id']}" in page
    receipt = await get(running, "/track/receipt")
    assert receipt.content == value
    assert f"{asked['number']}.receipt.json" in receipt.headers["content-disposition"]
    event = (await running.events(asked["id"]))[0]
    assert (event["data"]["channel"], event["words"]["text"]) == ("web", CONCERN["text"])


async def test_a_form_that_fails_shows_what_was_typed_and_where_it_fails(running: Running) -> None:
    before = await running.database.pool.fetchval("SELECT count(*) FROM inquiry")
    fields = filled(title="", email="not an address", text="something", place=ATTRIBUTE)
    del fields["service_code"]
    page = await send(running, "/ask", "/ask", fields)
    assert page.status_code == 422
    for field in ("title", "service_code", "email"):
        assert f'href="#{field}"' in page.text
    assert "something</textarea>" in page.text
    assert "not an address" in page.text
    assert ATTRIBUTE not in page.text
    assert await running.database.pool.fetchval("SELECT count(*) FROM inquiry") == before


async def test_a_form_sent_twice_is_one_case_and_with_another_text_a_clear_error(running: Running) -> None:
    page = await get(running, "/ask")
    fields = hidden(page) | filled()
    before = await running.database.pool.fetchval("SELECT count(*) FROM inquiry")
    for _ in range(2):
        assert (await running.client.post("/ask", data=fields, headers=PAGE)).status_code == 303
    assert await running.database.pool.fetchval("SELECT count(*) FROM inquiry") == before + 1
    other = await running.client.post("/ask", data=fields | {"text": "another"}, headers=PAGE)
    assert other.status_code == 409
    assert "You have already sent this form" in other.text


@pytest.mark.parametrize("hostile", [SCRIPT, ATTRIBUTE, "{{ 7 * 7 }}", "'; DROP TABLE inquiry; --"])
async def test_pages_show_hostile_text_as_text(running: Running, hostile: str) -> None:
    asked = await ask(running, title=hostile, text=hostile, place=hostile, kind="report")
    citizen = await get(running, "/track/case")
    running.sign_in("clerk")
    desk = await get(running, f"/clerk?case={asked['number']}")
    for page in (citizen, desk):
        assert page.status_code == 200
        assert hostile in unescape(page.text)
        assert "<script>alert" not in page.text
        assert 'onfocus="' not in page.text


async def test_number_and_secret_open_the_case_on_another_device(running: Running) -> None:
    asked = await ask(running)
    running.client.cookies.clear()
    assert (await get(running, "/track/case")).status_code == 303
    wrong = await send(running, "/track", "/track", {"number": asked["number"], "secret": "0" * 16})
    assert wrong.status_code == 404
    assert asked["number"] in wrong.text
    assert "0" * 16 not in wrong.text
    right = await send(running, "/track", "/track", {"number": asked["number"], "secret": asked["secret"]})
    assert right.headers["location"] == "/track/case"
    assert asked["number"] in (await get(running, "/track/case")).text
    left = await send(running, "/track/case", "/track/leave", {})
    assert left.status_code == 303
    assert (await get(running, "/track/case")).status_code == 303


async def test_many_wrong_secrets_on_the_page_are_slowed_down(running: Running) -> None:
    asked = await ask(running)
    page = await get(running, "/track")
    fields = hidden(page) | {"number": asked["number"], "secret": "0" * 16}
    answers = [await running.client.post("/track", data=fields, headers=PAGE) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429]
    wait = int(answers[-1].headers["retry-after"])
    shown = f"{wait} second" if wait < 120 else f"{-(-wait // 60)} minute"
    assert f"You can try again in {shown}" in answers[-1].text
    for _ in range(30):
        assert (await running.client.post("/track", data=fields, headers=PAGE)).status_code == 429
    right = await running.client.post("/track", data=fields | {"secret": asked["secret"]}, headers=PAGE)
    assert right.headers["location"] == "/track/case"


async def test_the_citizen_rates_on_the_page_and_reopens_what_is_not_solved(running: Running) -> None:
    asked = await ask(running)
    await brought_to_reply(running, asked["id"], text=f"已修复 {SCRIPT}")
    page = await get(running, "/track/case")
    assert "Is the problem solved?" in page.text
    assert "&lt;script&gt;" in page.text
    incomplete = await send(running, "/track/case", "/track/case/evaluation", {"rating": "5"})
    assert incomplete.status_code == 422
    assert "Select whether the problem is solved" in incomplete.text
    fields = {"solved": "no", "rating": "1", "contacted": "no", "comment": "还是不亮"}
    assert (await send(running, "/track/case", "/track/case/evaluation", fields)).status_code == 303
    page = await get(running, "/track/case")
    assert ">Reopened " in page.text
    assert "Is the problem solved?" not in page.text
    assert (await running.names(asked["id"]))[-1] == "inquiry.reopened"


async def test_the_time_left_is_counted_as_its_clock_counts(running: Running) -> None:
    await ask(running)
    shown = {}
    for day in (24, 28, 30):  # Tuesday; the Saturday after it was due; Monday morning
        running.clock.moment = START.replace(day=day)
        shown[day] = (await get(running, "/track/case")).text
    assert "3 working days left" in shown[24]
    assert "less than 1 working minute late" in shown[28]
    assert "30 working minutes late" in shown[30]
    running.clock.moment = START
    urgent = await ask(running, title="桥上护栏断了", urgent="yes")
    assert "24 hours left" in urgent["page"].text


async def test_a_form_of_another_site_changes_nothing(running: Running) -> None:
    asked = await ask(running)
    await brought_to_reply(running, asked["id"])
    fields = {"solved": "yes", "rating": "5", "idempotency_key": "k", "csrf": "forged"}
    answer = await running.client.post("/track/case/evaluation", data=fields, headers=PAGE)
    assert answer.status_code == 403
    assert (await running.names(asked["id"]))[-1] == "inquiry.replied"


async def test_erasing_needs_the_tick_and_hides_the_words(running: Running) -> None:
    await ask(running, text="只有我知道的事")
    refused = await send(running, "/track/case", "/track/case/erasure", {})
    assert refused.status_code == 422
    assert (await send(running, "/track/case", "/track/case/erasure", {"sure": "yes"})).status_code == 303
    page = await get(running, "/track/case")
    assert page.status_code == 200
    assert "只有我知道的事" not in page.text


async def test_a_clerk_accepts_from_the_queue(running: Running) -> None:
    asked = await ask(running, kind="report")
    assert (await get(running, "/clerk")).status_code == 303
    running.sign_in("clerk")
    assert asked["number"] in (await get(running, "/clerk")).text
    accepted = await send(running, f"/clerk?case={asked['number']}", f"/clerk/{asked['number']}/accept", {})
    assert accepted.status_code == 303
    assert (await running.names(asked["id"]))[-1] == "inquiry.accepted"
    assert "13 working days left" in (await get(running, accepted.headers["location"])).text
    assert (await get(running, "/clerk?case=20261124-0000000000-0")).status_code == 404


async def test_a_clerk_keeps_the_place_in_the_queue(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clerk_pages, "_ROWS", 2)
    for _ in range(5):
        await running.take_in(kind="report")
    running.sign_in("clerk")

    def rows(page: httpx.Response) -> list[str]:
        return [unescape(href) for href in re.findall(r'data-row><a href="([^"]+)"', page.text)]

    first = await get(running, "/clerk")
    second = re.search(r'rel="next" href="(/clerk\?[^"]+)"', first.text)
    assert second is not None
    listed = rows(await get(running, second[1]))
    assert len(listed) == 2
    assert listed != rows(first)
    opened = await get(running, listed[0])
    assert rows(opened) == listed
    assert f'href="{second[1]}"' in opened.text, "the way back to the list"
    accept = re.search(r'action="(/clerk/[^"]+/accept[^"]*)"', opened.text)
    assert accept is not None
    form = {name: value for name, value in hidden(opened).items() if name != "cursor"}  # the search's
    accepted = await running.client.post(unescape(accept[1]), data=form, headers=PAGE)
    assert rows(await get(running, accepted.headers["location"]))[0] == listed[1]


async def test_both_languages_have_every_page(running: Running) -> None:
    await ask(running)
    for path in ("/ask", "/ask/received", "/track", "/track/case"):
        for language, word in (("zh", "查进度"), ("en", "Track")):
            page = await running.client.get(
                path, headers={"Accept": "text/html", "Accept-Language": language}
            )
            assert page.status_code == 200
            assert word in page.text
