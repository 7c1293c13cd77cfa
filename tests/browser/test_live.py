"""Pages that go on by themselves."""

from playwright.async_api import Route, expect

from tests.browser.findings import Watched
from tests.browser.samples import Samples, ask
from tests.browser.visitors import Visitors


async def test_oversight_grows_without_a_reload(visitors: Visitors, samples: Samples) -> None:
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


async def test_oversight_holds_still_while_somebody_reads(visitors: Visitors, samples: Samples) -> None:
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


async def test_oversight_whose_session_is_over_leads_back_by_a_sign_in_and_asks_no_more(
    visitors: Visitors, samples: Samples
) -> None:
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=401)

    async with visitors.visit("oversight") as watching:
        page = await watching.new_page()
        await page.route("**/api/audit/v1/stream*", refuse)
        await page.goto("/oversight")
        await expect(page.locator("[data-live-over]")).to_be_visible()
        await expect(page.locator("[data-live-over] a")).to_have_attribute("href", "/login?next=%2Foversight")
        await page.wait_for_timeout(3_000)  # longer than the first pause between two tries
        assert len(asked) == 2  # the stream, and the question why there is none
