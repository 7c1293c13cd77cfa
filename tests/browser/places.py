"""Every page, and the steps to it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Page

from tests.browser.samples import SERVICE
from tests.browser.visitors import CITIZEN, OFFICER

Steps = Callable[[Page], Awaitable[None]]


async def nothing(_page: Page) -> None:
    """The page is there when it is loaded."""


async def send(page: Page) -> None:
    """Sends the page's first form as it is."""
    await page.locator("main form[method=post] button[type=submit]").first.click()


async def ask(page: Page) -> None:
    """A concern with all that is needed."""
    await page.locator("#kind").check()
    await page.locator("#service_code").select_option(SERVICE)
    await page.locator("#title").fill("路口的通信井盖不见了")
    await page.locator("#text").fill("昨天晚上发现的，已经用树枝挡住。")
    await send(page)
    await page.wait_for_url("**/ask/received")


async def ask_with_mistakes(page: Page) -> None:
    """Most is missing, and the address cannot be one."""
    await page.locator("#title").fill("  ")
    await page.locator("#email").fill("nobody")
    await send(page)
    await page.locator(".error-summary").wait_for()


async def guess(page: Page) -> None:
    """A number and secret that fit no case."""
    await page.locator("#number").fill("20261124-0000000000-0")
    await page.locator("#secret").fill("0000-0000-0000-0000")
    await send(page)
    await page.locator(".error-summary").wait_for()


async def fail(page: Page) -> None:
    """Sends the first form though nothing is filled in."""
    await send(page)
    await page.locator(".error-summary").wait_for()


async def withdraw_without_reason(page: Page) -> None:
    await page.locator("form[action$='/withdraw'] button").click()
    await page.locator(".error-summary").wait_for()


async def show_keys(page: Page) -> None:
    await page.keyboard.press("?")
    await page.locator("dialog[open]").wait_for()


@dataclass(frozen=True, slots=True)
class Place:
    """A page by a name that tests print. `path` has ids of the samples in braces; `steps` lead from there to
    the page that is meant, which comes with `status`."""

    name: str
    path: str
    who: str = CITIZEN
    steps: Steps = nothing
    status: int = 200

    def __str__(self) -> str:
        return self.name


PLACES = (
    Place("home", "/"),
    Place("policies", "/policies"),
    Place("policies of a topic", "/policies?topic=education"),
    Place("a topic without policies", "/policies?topic=housing"),
    Place("a policy", "/policies/{published}"),
    Place("a withdrawn policy", "/policies/{withdrawn}"),
    Place("subscribe", "/subscribe"),
    Place("subscribe, with nothing in it", "/subscribe", steps=fail, status=422),
    Place("subscribe, sent", "/subscribe/asked"),
    Place("ask", "/ask"),
    Place("ask, with mistakes", "/ask", steps=ask_with_mistakes, status=422),
    Place("received", "/ask", steps=ask),
    Place("track", "/track"),
    Place("track, with a wrong secret", "/track", steps=guess, status=404),
    Place("a case at work", "/track/case", "of offered"),
    Place("an answered case", "/track/case", "of replied"),
    Place("an answered case, rated without a rating", "/track/case", "of replied", fail, 422),
    Place("a closed case", "/track/case", "of closed"),
    Place("log", "/log"),
    Place("nothing here", "/nowhere", status=404),
    Place("a sign-in that failed", "/login/callback?state=x", status=400),
    Place("a desk of others", "/clerk", OFFICER, status=403),
    Place("clerk", "/clerk", "clerk"),
    Place("clerk, a case", "/clerk?case={reported}", "clerk"),
    Place("clerk, an unknown case", "/clerk?case=1", "clerk", status=404),
    Place("desk", "/desk", OFFICER),
    Place("desk, nothing found", "/desk?q=zzz", OFFICER),
    Place("desk, keys", "/desk", OFFICER, show_keys),
    Place("desk, a case to sign", "/desk/cases/{offered}", OFFICER),
    Place("desk, a case to answer", "/desk/cases/{signed}", OFFICER),
    Place("desk, an empty answer", "/desk/cases/{signed}", OFFICER, fail, 422),
    Place("desk, an answered case", "/desk/cases/{replied}?state=replied", OFFICER),
    Place("dispatch", "/dispatch", "dispatcher"),
    Place("dispatch, a case", "/dispatch/cases/{returned}", "dispatcher"),
    Place("dispatch, to nobody", "/dispatch/cases/{returned}", "dispatcher", fail, 422),
    Place("publish", "/publish", "editor"),
    Place("publish, a draft", "/publish/{draft}", "approver"),
    Place("publish, a new one", "/publish/new", "editor"),
    Place("publish, an empty one", "/publish/new", "editor", fail, 422),
    Place(
        "publish, withdrawn for no reason", "/publish/{published}", "approver", withdraw_without_reason, 422
    ),
    Place("oversight", "/oversight", "oversight"),
    Place("oversight, a case", "/oversight?subject={offered}", "oversight"),
)
