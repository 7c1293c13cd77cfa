"""The people who look at pages: each visit is a browser context with its own cookies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, StorageState, ViewportSize

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=800)
LOCALES = {"zh": "zh-CN", "en": "en-GB"}
HTML_LANG = {"zh": "zh-Hans", "en": "en"}

CITIZEN = "citizen"
OFFICER = "officer-telecom"  # of a unit without Kafka: its cases wait for a person at the desk
DESKS = {
    "clerk": "/clerk",
    OFFICER: "/desk",
    "dispatcher": "/dispatch",
    "editor": "/publish",
    "approver": "/publish",
    "oversight": "/oversight",
}
"""The page where each member of staff works, by the name at the local provider."""


class Visitors:
    """Opens contexts for citizens and for staff. Staff sign in at their first visit."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self._browser = browser
        self._remembered: dict[str, StorageState] = {}

    @asynccontextmanager
    async def visit(
        self, who: str = CITIZEN, language: str = "en", *, scripts: bool = True
    ) -> AsyncIterator[BrowserContext]:
        """A new context with the cookies of `who`: staff are signed in, a name given to `remember` has its
        cookies of that time, and any other name has none.
        """
        if who in DESKS and who not in self._remembered:
            await self._sign_in(who)
        context = await self._browser.new_context(
            base_url=self.address,
            locale=LOCALES[language],
            viewport=DESKTOP,
            java_script_enabled=scripts,
            storage_state=self._remembered.get(who),
        )
        context.set_default_timeout(20_000)
        try:
            yield context
        finally:
            await context.close()

    async def remember(self, who: str, context: BrowserContext) -> None:
        """From now on `who` visits with the present cookies of the context."""
        self._remembered[who] = await context.storage_state()

    async def _sign_in(self, who: str) -> None:
        """Signs in as a person does: to the provider, a name, and back."""
        async with self.visit() as context:
            page = await context.new_page()
            await page.goto(DESKS[who])
            await page.get_by_placeholder("sub").fill(who)
            await page.get_by_role("button", name="Authorize").click()
            await page.wait_for_url(f"{self.address}{DESKS[who]}")
            await self.remember(who, context)
