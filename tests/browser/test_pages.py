"""Every page in both languages, on a phone and a desktop, light and dark."""

import asyncio
from dataclasses import asdict

import pytest
from playwright.async_api import Page

from tests.browser.findings import Watched
from tests.browser.places import PLACES, Place, nothing
from tests.browser.samples import Samples
from tests.browser.visitors import CITIZEN, DESKS, LOCALES, Visitors

LINKED = [CITIZEN, "of replied", *DESKS]

Titles = dict[tuple[str, str, str], str]


@pytest.fixture(scope="session")
def ids(samples: Samples) -> dict[str, str]:
    """What stands in the braces of a path."""
    return {name: each if isinstance(each, str) else each["id"] for name, each in asdict(samples).items()}


@pytest.fixture(scope="session")
def titles() -> Titles:
    """Which page has shown a title first, for whom and in which language."""
    return {}


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_a_page_is_sound_in_every_look(
    visitors: Visitors, ids: dict[str, str], titles: Titles, place: Place
) -> None:
    path = place.path.format(**ids)

    async def faults(language: str) -> list[str]:
        async with visitors.visit(place.who, language) as context:
            watched = Watched(await context.new_page(), visitors.address)
            await watched.page.goto(path)
            await place.steps(watched.page)
            found = await watched.findings(language)
            if watched.status != place.status:
                found.append(f"comes with {watched.status}, not with {place.status}")
            # Filters of one page share its title; two pages, and a form that failed, do not.
            page = f"{path.partition('?')[0]} with {place.status}"
            title = await watched.page.title()
            first = titles.setdefault((place.who, language, title), page)
            if first != page:
                found.append(f"has the title of {first}: {title}")
            return [f"{language}: {fault}" for fault in found]

    zh, en = await asyncio.gather(*(faults(language) for language in LOCALES))
    assert zh + en == []


@pytest.mark.parametrize("who", LINKED)
async def test_no_link_leads_nowhere(visitors: Visitors, ids: dict[str, str], who: str) -> None:
    async with visitors.visit(who) as context:
        page = await context.new_page()
        links: set[str] = set()
        for place in PLACES:
            if place.who == who and place.status == 200 and place.steps is nothing:
                await page.goto(place.path.format(**ids))
                links |= await _links(page)
        assert links
        answers = await asyncio.gather(*(_status(page, link) for link in sorted(links)))
        assert {link: status for link, status in answers if status != 200} == {}


async def _links(page: Page) -> set[str]:
    """Where one can go from here without a form, but for signing in, which is another's page."""
    every = await page.locator("[href]").evaluate_all("all => all.map(each => each.href.split('#')[0])")
    return {link for link in every if "/login?" not in link}


async def _status(page: Page, link: str) -> tuple[str, int]:
    return link, (await page.request.get(link)).status
