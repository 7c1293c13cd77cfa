"""Actions by keyboard alone. They work without the page's scripts, since focus belongs to the browser."""

import asyncio

from playwright.async_api import Locator, Page, expect

_MOST_STOPS = 80
_FOCUSED = "element => element === document.activeElement"
_PATIENCE_SECONDS = 30.0
_LOOK_MS = 500.0


async def tab_to(target: Locator) -> None:
    """Presses Tab until the target has the focus. Fails if it never gets it: the keyboard cannot reach it."""
    for _ in range(_MOST_STOPS):
        if await target.evaluate(_FOCUSED):
            return
        await target.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not come to {target}")


async def enter(target: Locator) -> None:
    """Follows a link, or presses a button."""
    await tab_to(target)
    await target.page.keyboard.press("Enter")


async def write(target: Locator, text: str) -> None:
    await tab_to(target)
    await target.page.keyboard.type(text)


async def choose(target: Locator, text: str) -> None:
    """In a list to choose from, by the first letters of an option."""
    await tab_to(target)
    await target.page.keyboard.type(text)
    await expect(target.locator("option:checked")).to_have_text(text)


async def pick(page: Page, name: str, value: str) -> None:
    """One of the radio buttons of a group of which none is checked: Tab comes to the first."""
    group = page.locator(f"input[type=radio][name={name}]")
    await tab_to(group.first)
    await page.keyboard.press("Space")
    wanted = page.locator(f"input[type=radio][name={name}][value='{value}']")
    for _ in range(await group.count()):
        if await wanted.is_checked():
            return
        await page.keyboard.press("ArrowDown")
    raise AssertionError(f"the arrows do not come to {name} = {value}")


async def reload_until(target: Locator) -> None:
    """Reloads until the target is visible. Raises TimeoutError."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            try:
                await expect(target).to_be_visible(timeout=_LOOK_MS)
            except AssertionError:
                await target.page.reload()
            else:
                return
