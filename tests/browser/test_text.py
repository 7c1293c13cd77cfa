"""Whatever people type stands on the pages as the text that it is."""

import secrets

import pytest
from playwright.async_api import Page, expect

from tests.browser.findings import Watched
from tests.browser.keyboard import reload_until
from tests.browser.places import send
from tests.browser.samples import act, ask, follow, publish, reaches
from tests.browser.visitors import OFFICER, Visitors

HTML = """<script>document.title='taken'</script><img src=x onerror="document.title='taken'"><b>bold</b>"""
TEXTS = {
    "HTML": HTML + """</textarea></title>"' onfocus=alert(1) &lt;&amp;""",
    "SQL": "'); DROP TABLE inquiry; --",
    "templates": "{{ 7*7 }} ${7*7} {% raw %} %s {0} <!-- -->",
    "emoji": "🚲👩‍👩‍👧‍👦🏳️‍🌈 é́́",
    "right to left": "انقطاع الماء منذ ثلاثة أيام 123 ABC",
    "a direction turned over": "abc \u202eevil\u202c def",
    "one long word": "长" * 60 + "W" * 120,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_concern_and_its_answer_stand_on_every_page_as_typed(visitors: Visitors, text: str) -> None:
    title = f"{text} {secrets.token_hex(4)}"
    async with visitors.visit() as someone, visitors.visit(OFFICER) as at_desk:
        citizen, officer = someone.request, at_desk.request
        case = await ask(citizen, title, text, place=text)
        await act(officer, case, "sign")

        desk = Watched(await at_desk.new_page(), visitors.address)
        await desk.page.goto(f"/desk/cases/{case.id}?q={case.number}")
        await _shows(desk, title, text)

        await act(officer, case, "reply", outcome="explained", text=text)
        await reaches(citizen, case, "replied")
        await follow(someone, case)
        track = Watched(await someone.new_page(), visitors.address)
        await track.page.goto("/track/case")
        await _shows(track, title, text)
        await track.page.locator("#comment").fill(text)
        await send(track.page)
        await expect(track.page.locator("#comment")).to_have_value(text)
        await _shows(track, title, text)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_staff_read_as_typed_what_waits_for_them(visitors: Visitors, text: str) -> None:
    title = f"{text} {secrets.token_hex(4)}"
    async with (
        visitors.visit() as someone,
        visitors.visit(OFFICER) as at_desk,
        visitors.visit("clerk") as clerk,
        visitors.visit("dispatcher") as dispatcher,
    ):
        reported = await ask(someone.request, title, text, place=text, kind="report")
        await _reads(visitors, await clerk.new_page(), f"/clerk?case={reported.number}", title, text)
        returned = await ask(someone.request, title, text, place=text)
        await act(at_desk.request, returned, "return", reason="unclear_owner", text=text)
        await _reads(visitors, await dispatcher.new_page(), f"/dispatch/cases/{returned.id}", title, text)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_publication_is_read_as_written(visitors: Visitors, text: str) -> None:
    title = f"{text} {secrets.token_hex(4)}"
    content = {"title": title, "summary": text, "body": f"{text}\n\n{text}", "document_number": text[:100]}
    async with visitors.visit("editor") as editor, visitors.visit("approver") as approver:
        id_ = await publish(editor.request, approver.request, content, "approve", "publish")
        for path in ("/", "/policies", f"/policies/{id_}", "/publish", f"/publish/{id_}"):
            await _reads(visitors, await editor.new_page(), path, title, text)


async def _reads(visitors: Visitors, page: Page, path: str, title: str, text: str) -> None:
    watched = Watched(page, visitors.address)
    await page.goto(path)
    await _shows(watched, title, text)
    await page.close()


async def _shows(watched: Watched, title: str, text: str) -> None:
    """Title and text are there as text, nothing of them has become an element, and nothing was run."""
    page = watched.page
    await reload_until(page.locator("main").get_by_text(title, exact=True).first)
    shown = await page.locator("main").inner_text()
    assert text in shown
    assert await page.locator("main :is(script, img, b)").count() == 0
    assert "taken" not in await page.title() or HTML in text
    assert watched.heard == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
