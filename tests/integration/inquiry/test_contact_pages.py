"""Reading a contact on a page: for a stated purpose, by permitted roles, once, and on the record."""

import logging
import re
from html import unescape
from typing import Any

import httpx
import pytest

from shared.contracts.routing import CaseDispatched
from tests.integration.inquiry.conftest import Running
from tests.integration.inquiry.test_pages import PAGE, get, hidden, send

pytestmark = pytest.mark.integration
LEAD = "urban-management"
CONTACT = {"name": "王芳", "phone": "138 0000 0000", "email": "wang@example.org"}


async def read(running: Running, taken: dict[str, Any], **fields: str) -> httpx.Response:
    """The form filled in on the clerk's page of the case."""
    number = taken["number"]
    return await send(running, f"/clerk?case={number}", f"/clerk/{number}/contact", fields)


async def reads(running: Running, taken: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in await running.events(taken["id"]) if event["name"] == "person.contact_read"]


async def test_a_clerk_reads_a_contact_once_and_the_reading_is_an_event(running: Running) -> None:
    taken = await running.take_in(contact=CONTACT)
    running.sign_in("clerk")
    case = await get(running, f"/clerk?case={taken['number']}")
    assert "138 0000" not in case.text
    shown = await read(running, taken, purpose="call_back", note="第二次回访")
    assert shown.status_code == 200
    for value in CONTACT.values():
        assert value in shown.text
        assert value not in str(shown.url)
    assert shown.headers["cache-control"] == "no-store"
    (event,) = await reads(running, taken)
    assert event["data"] == {"purpose": "call_back", "reader": "person:u-7"}
    assert event["actor"] == "person:u-7"
    assert event["words"]["text"] == "第二次回访"
    # Nothing to come back to: the same address asks again.
    again = await get(running, f"/clerk/{taken['number']}/contact")
    assert again.status_code == 200
    assert again.headers["cache-control"] == "no-store"
    assert "138 0000" not in again.text
    assert len(await reads(running, taken)) == 1


async def test_a_reading_without_a_note_has_no_words(running: Running) -> None:
    taken = await running.take_in(contact=CONTACT)
    running.sign_in("clerk")
    assert (await read(running, taken, purpose="deliver")).status_code == 200
    assert [event["words"] for event in await reads(running, taken)] == [None]


@pytest.mark.parametrize(
    "fields", [{}, {"purpose": "curiosity"}, {"purpose": "call_back", "note": "x" * 501}]
)
async def test_without_a_good_purpose_nothing_is_shown_and_nothing_recorded(
    running: Running, fields: dict[str, str]
) -> None:
    taken = await running.take_in(contact=CONTACT)
    running.sign_in("clerk")
    refused = await read(running, taken, **fields)
    assert refused.status_code == 422
    assert "error-summary" in refused.text
    assert "138 0000" not in refused.text
    assert await reads(running, taken) == []


async def test_a_note_that_is_too_long_comes_back_whole_with_the_purpose(running: Running) -> None:
    taken = await running.take_in(contact=CONTACT)
    running.sign_in("clerk")
    typed = "回访时他说" * 2_000
    refused = await read(running, taken, purpose="deliver", note=typed)
    assert refused.status_code == 422
    assert "Must be 500 characters or fewer" in refused.text
    assert typed in refused.text
    assert re.search(r'value="deliver"[^>]* checked', refused.text)
    long = await read(running, taken, purpose="deliver" * 1_500, note="第二次回访")
    assert long.status_code == 422
    assert "Select one of the options" in long.text
    assert "第二次回访" in long.text
    assert await reads(running, taken) == []


async def test_an_officer_reads_only_what_the_own_unit_holds(running: Running) -> None:
    taken = await running.take_in(contact=CONTACT)
    await running.apply(taken["id"], CaseDispatched(lead=LEAD, rule="r-1", attempt=1))
    path = f"/clerk/{taken['number']}/contact"
    for unit in ("housing", None):
        running.client.cookies.clear()
        running.sign_in("officer", unit=unit)
        token = hidden(await get(running, "/track"))
        for number in (taken["number"], "20261124-0000000000-0"):
            there = f"/clerk/{number}/contact"
            for fields in ({"purpose": "clarify"}, {"purpose": "curiosity"}):
                refused = await running.client.post(there, data=token | fields, headers=PAGE)
                assert refused.status_code == 403
            asked = await get(running, there)
            assert asked.status_code == 403
            for answer in (refused, asked):
                assert "This case is not with your department" in answer.text
                assert "purpose" not in answer.text
    assert await reads(running, taken) == []
    running.client.cookies.clear()
    running.sign_in("officer", unit=LEAD)
    shown = await send(running, path, path, {"purpose": "clarify"})
    assert "138 0000 0000" in shown.text
    assert f'href="/desk/cases/{taken["id"]}"' in shown.text
    assert len(await reads(running, taken)) == 1


@pytest.mark.parametrize("role", ["dispatcher", "editor", "approver", "operator", "oversight"])
async def test_other_roles_may_not_ask(running: Running, role: str) -> None:
    taken = await running.take_in(contact=CONTACT)
    path = f"/clerk/{taken['number']}/contact"
    assert (await get(running, path)).headers["location"].startswith("/login?next=")
    running.sign_in(role)
    assert (await get(running, path)).status_code == 403
    assert (await running.client.post(path, data={"purpose": "clarify"}, headers=PAGE)).status_code == 403
    assert await reads(running, taken) == []


async def test_another_sites_form_reads_nothing(running: Running) -> None:
    taken = await running.take_in(contact=CONTACT)
    running.sign_in("clerk")
    path = f"/clerk/{taken['number']}/contact"
    assert (await running.client.post(path, data={"purpose": "clarify"}, headers=PAGE)).status_code == 403
    assert await reads(running, taken) == []


async def test_where_there_is_no_contact_nothing_is_asked_and_nothing_recorded(running: Running) -> None:
    taken = await running.take_in()
    running.sign_in("clerk")
    assert "left no contact details" in (await get(running, f"/clerk?case={taken['number']}")).text
    place = f"/clerk/{taken['number']}/contact"
    assert "left no contact details" in (await send(running, place, place, {"purpose": "clarify"})).text
    assert await reads(running, taken) == []
    assert (await get(running, "/clerk/20261124-0000000000-0/contact")).status_code == 404


async def test_a_contact_is_shown_as_text_and_never_logged(
    running: Running, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "<script>alert('x')</script>"
    taken = await running.take_in(contact=CONTACT | {"name": name})
    running.sign_in("clerk")
    with caplog.at_level(logging.DEBUG):
        shown = await read(running, taken, purpose="call_back", note="私下说明")
    assert name in unescape(shown.text)
    assert "<script>alert" not in shown.text
    printed = capsys.readouterr()
    logged = caplog.text + printed.out + printed.err
    for secret in (*CONTACT.values(), "私下说明"):
        assert secret not in logged


async def test_the_form_speaks_both_languages(running: Running) -> None:
    taken = await running.take_in(contact=CONTACT)
    running.sign_in("clerk")
    for language, title in (("zh", "查看用途"), ("en", "Why do you need the contact details")):
        page = await get(running, f"/clerk/{taken['number']}/contact?lang={language}")
        assert title in page.text
