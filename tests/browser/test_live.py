"""Pages that go on by themselves."""

from playwright.async_api import expect

from tests.browser.findings import Watched
from tests.browser.town import Town, ask
from tests.browser.visitors import Visitors


async def test_oversight_grows_without_a_reload(visitors: Visitors, town: Town) -> None:
    async with visitors.visit() as someone, visitors.visit("oversight") as watching:
        watched = Watched(await watching.new_page(), visitors.address)
        page = watched.page
        await page.goto("/oversight")
        await expect(page.locator("[data-live-on]")).to_be_visible()
        await page.evaluate("window.stayed = true")

        case = await ask(someone.request, "路灯杆上的线垂下来了", "离地不到两米。")
        await expect(page.locator(".entry", has_text=case.number).first).to_be_visible()
        indices = [int(index) for index in await page.locator(".entry .index").all_inner_texts()]
        assert indices == sorted(indices, reverse=True)
        assert len(set(indices)) == len(indices)
        assert await page.evaluate("window.stayed")
        assert watched.heard == []


async def test_oversight_holds_still_while_somebody_reads(visitors: Visitors, town: Town) -> None:
    async with visitors.visit() as someone, visitors.visit("oversight") as watching:
        held, going = await watching.new_page(), await watching.new_page()
        for page in (held, going):
            await page.goto("/oversight")
            await expect(page.locator("[data-live-on]")).to_be_visible()
        pause = held.locator("[data-live-pause]")
        await pause.click()
        case = await ask(someone.request, "基站的指示灯照进卧室", "整夜闪烁。")
        await expect(going.locator(".entry", has_text=case.number).first).to_be_visible()
        await expect(held.locator(".entry", has_text=case.number)).to_have_count(0)
        await pause.click()
        await expect(held.locator(".entry", has_text=case.number).first).to_be_visible()
