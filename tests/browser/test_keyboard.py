"""The whole way of a concern, without a mouse: citizen, officer at the desk, citizen again."""

import secrets

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.keyboard import choose, enter, pick, reload_until, tab_to, write
from tests.browser.samples import Samples
from tests.browser.visitors import OFFICER, Visitors

ANSWER = "The line was mended this morning."


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_citizen_asks_and_an_officer_answers_by_keyboard_alone(
    visitors: Visitors, scripts: bool
) -> None:
    title = f"No telephone since Monday {secrets.token_hex(4)}"
    async with (
        visitors.visit(scripts=scripts) as asking,
        visitors.visit(scripts=scripts) as following,
        visitors.visit(OFFICER, scripts=scripts) as at_desk,
    ):
        number, secret = await _ask(asking, title)
        case = await _follow(following, number, secret)
        await expect(case.get_by_role("heading", level=1)).to_have_text(title)

        desk = await at_desk.new_page()
        await (_open_by_keys if scripts else _open_by_tab)(desk, number, title)
        await enter(desk.get_by_role("button", name="Accept"))
        await write(desk.locator("#text"), ANSWER)
        await pick(desk, "outcome", "solved")
        await enter(desk.get_by_role("button", name="Send reply"))
        await expect(desk.locator("#text")).to_have_count(0)

        await reload_until(case.get_by_role("heading", name="Rate the answer"))
        await expect(case.locator(".notice.good")).to_contain_text(ANSWER)
        await pick(case, "contacted", "yes")
        await pick(case, "solved", "yes")
        await pick(case, "rating", "4")
        await write(case.locator("#comment"), "That was quick.")
        await enter(case.get_by_role("button", name="Send rating", exact=True))
        await expect(case.locator(".timeline")).to_contain_text("Rating: 4 out of 5.")


async def test_j_and_k_move_in_the_list_and_question_mark_tells_the_keys(
    visitors: Visitors, samples: Samples
) -> None:
    async with visitors.visit(OFFICER) as context:
        page = await context.new_page()
        await page.goto("/desk")
        rows = page.locator("[data-row] a")
        assert await rows.count() >= 2
        for key, row in (("j", 0), ("j", 1), ("k", 0), ("k", 0)):
            await page.keyboard.press(key)
            await expect(rows.nth(row)).to_be_focused()
        await page.keyboard.press("?")
        await expect(page.locator("dialog")).to_be_visible()
        await page.keyboard.press("j")
        await expect(rows.nth(1)).not_to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_be_hidden()
        await page.keyboard.press("/")
        await page.keyboard.type("jk?/")
        await expect(page.locator("#q")).to_have_value("jk?/")


async def test_the_first_tab_leads_past_the_navigation(visitors: Visitors) -> None:
    async with visitors.visit() as context:
        page = await context.new_page()
        await page.goto("/track")
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.locator("#number")).to_be_focused()


async def _ask(context: BrowserContext, title: str) -> tuple[str, str]:
    page = await context.new_page()
    await page.goto("/")
    await enter(page.locator("main").get_by_role("link", name="Ask or report"))
    await pick(page, "kind", "help")
    await choose(page.locator("#service_code"), "Telecom service")
    await write(page.locator("#title"), title)
    await write(page.locator("#text"), "Neither the telephone nor the internet works.")
    await write(page.locator("#place"), "Wenchang Road 3")
    await enter(page.get_by_role("button", name="Send", exact=True))
    await page.wait_for_url("**/ask/received")
    number, secret = page.locator(".confirmation .number"), page.locator(".lead.number")
    return await number.inner_text(), await secret.inner_text()


async def _follow(context: BrowserContext, number: str, secret: str) -> Page:
    page = await context.new_page()
    await page.goto("/track")
    await write(page.locator("#number"), number)
    await write(page.locator("#secret"), secret)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/track/case")
    return page


async def _open_by_keys(page: Page, number: str, title: str) -> None:
    await page.goto("/desk")
    await page.keyboard.press("/")
    await page.keyboard.type(number)
    await page.keyboard.press("Enter")
    row = page.locator("[data-row] a", has_text=title)
    await reload_until(row)
    await page.keyboard.press("j")
    await expect(row).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/desk/cases/**")


async def _open_by_tab(page: Page, number: str, title: str) -> None:
    await page.goto("/desk")
    await write(page.locator("#q"), number)
    await page.keyboard.press("Enter")
    row = page.locator("[data-row] a", has_text=title)
    await reload_until(row)
    await tab_to(row)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/desk/cases/**")
