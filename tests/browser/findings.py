"""Everything that is wrong with a page in any of its looks, collected in one visit."""

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import ConsoleMessage, Error, Page, Request, Response

from tests.browser.visitors import DESKTOP, HTML_LANG, PHONE

NARROWEST = 320  # CSS pixels: WCAG 2.2, 1.4.10 Reflow
_EVERYTHING = {"resultTypes": ["violations"]}
_CONTRAST = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
# Each size and each scheme with every rule once, and colours in all four.
_LOOKS = (
    (PHONE, "light", _EVERYTHING),
    (PHONE, "dark", _CONTRAST),
    (DESKTOP, "light", _CONTRAST),
    (DESKTOP, "dark", _EVERYTHING),
)


class Watched:
    """A page whose console, errors and requests are recorded: make it before the first address is opened."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.status = 0
        self.heard: list[str] = []
        self._address = address
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)
        page.on("response", self._response)

    async def findings(self, language: str) -> list[str]:
        """The faults that axe-core finds, and overflow, on a phone and a desktop, light and dark."""
        page = self.page
        found: list[str] = []
        if not (await page.title()).strip():
            found.append("the title is empty")
        lang = await page.locator("html").get_attribute("lang")
        if lang != HTML_LANG[language]:
            found.append(f"the page says that it is in {lang}")
        for size, scheme, rules in _LOOKS:
            look = f"{size['width']} px, {scheme}"
            await page.set_viewport_size(size)
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # of a literal
            found += [
                f"{look}: {fault}" for fault in [*await _violations(page, rules), *await _overflow(page)]
            ]
        await page.set_viewport_size({"width": NARROWEST, "height": 700})
        found += [f"{NARROWEST} px: {fault}" for fault in await _overflow(page)]
        return found + self.heard

    def _console(self, message: ConsoleMessage) -> None:
        # The browser also notes there that the page itself came with 404 or 422, which is meant.
        of_the_page = message.location["url"].partition("#")[0] == self.page.url.partition("#")[0]
        if message.type in ("error", "warning") and not (
            of_the_page and message.text.startswith("Failed to load resource")
        ):
            self.heard.append(f"console {message.type}: {message.text}")

    def _error(self, error: Error) -> None:
        self.heard.append(f"script: {error.message}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self._address}/", "data:")):
            self.heard.append(f"asks another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.request.is_navigation_request():
            self.status = response.status


async def _violations(page: Page, rules: dict[str, Any]) -> list[str]:
    results = await Axe().run(page, options=rules)
    violations: list[dict[str, Any]] = results.response["violations"]
    return [
        f"{violation['id']}: {violation['help']} at {[node['target'] for node in violation['nodes']]}"
        for violation in violations
    ]


async def _overflow(page: Page) -> list[str]:
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"scrolls {wide} px sideways"] if wide > 0 else []
