"""One sample city and one Chromium for the whole run."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, async_playwright

from deploy.local.pair import temporary_folder
from deploy.local.ports import free_port
from tests.browser.chromium import FLAGS, MISSING, find_chromium
from tests.browser.samples import Samples, create_samples
from tests.browser.visitors import Visitors
from tests.city import city


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of a city without sample traffic."""
    with (
        temporary_folder() as folder,
        city(folder / "data", free_port(), folder / "said.txt", "--no-sample") as running,
    ):
        running.wait_until_ready()
        yield running.address


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.fail(MISSING)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        await started.close()


@pytest.fixture(scope="session")
async def visitors(browser: Browser, address: str) -> Visitors:
    return Visitors(browser, address)


@pytest.fixture(scope="session")
async def samples(visitors: Visitors) -> Samples:
    return await create_samples(visitors)
