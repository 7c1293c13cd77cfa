"""What a person meets who makes a mistake in a form, or sends it twice."""

import asyncio
import secrets
from dataclasses import dataclass

import pytest
from playwright.async_api import Route, expect

from tests.browser.keyboard import enter, reload_until
from tests.browser.samples import SERVICE, Samples
from tests.browser.visitors import CITIZEN, OFFICER, Visitors

LONG = "Every evening at nine.\n\n  The light goes out."


@dataclass(frozen=True, slots=True)
class Mistake:
    """A form on a page, what is typed into it, and the fields that are wrong then; `kept` is shown again."""

    name: str
    path: str
    who: str
    action: str
    typed: dict[str, str]
    wrong: tuple[str, ...]
    forgotten: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


MISTAKES = (
    Mistake("a concern", "/ask", CITIZEN, "/ask", {"text": LONG, "place": "East gate", "email": "nobody"},
            ("kind", "service_code", "title", "email")),
    Mistake("tracking", "/track", CITIZEN, "/track", {"number": "20261124-0000000000-0", "secret": "wrong"},
            ("number",), ("secret",)),
    Mistake("a rating", "/track/case", "of replied", "/track/case/evaluation", {"comment": LONG},
            ("solved", "rating")),
    Mistake("a subscription", "/subscribe", CITIZEN, "/subscribe", {"address": "nobody at example"},
            ("address",)),
    Mistake("an answer", "/desk/cases/{case}", OFFICER, "/desk/cases/{case}/reply", {"text": LONG},
            ("outcome",)),
    Mistake("a publication", "/publish/new", "editor", "/publish/new", {"title": "Draft", "summary": LONG},
            ("body",)),
)  # fmt: skip


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
async def test_a_form_that_fails_shows_what_was_typed_and_leads_to_the_fields(
    visitors: Visitors, samples: Samples, mistake: Mistake, scripts: bool
) -> None:
    async with visitors.visit(mistake.who, scripts=scripts) as context:
        page = await context.new_page()
        await page.goto(mistake.path.format(case=samples.signed.id))
        form = page.locator(f'form[action^="{mistake.action.format(case=samples.signed.id)}"]')
        for name, text in mistake.typed.items():
            await form.locator(f"[name={name}]").fill(text)
        await form.locator("button[type=submit]").click()

        summary = page.locator(".error-summary")
        await expect(summary).to_be_focused()
        assert (await page.title()).startswith("Error")
        for name, text in mistake.typed.items():
            await expect(form.locator(f"[name={name}]")).to_have_value(
                "" if name in mistake.forgotten else text
            )
        links = summary.get_by_role("link")
        assert await links.count() == len(mistake.wrong)
        for link, field in zip(await links.all(), mistake.wrong, strict=True):
            await summary.focus()
            await enter(link)
            await expect(page.locator(f"#{field}")).to_be_focused()
            await expect(page.locator(f"#{field}-error")).to_be_visible()


async def test_pressing_send_again_while_the_answer_is_slow_makes_one_case(
    visitors: Visitors, samples: Samples
) -> None:
    title = f"Twice {secrets.token_hex(4)}"
    taken = asyncio.Event()

    async def be_slow(route: Route) -> None:
        if taken.is_set():
            await route.continue_()
            return
        await route.fetch(max_redirects=0)  # the service has it, but the browser gets no answer
        taken.set()

    async with visitors.visit() as context, visitors.visit(OFFICER) as at_desk:
        page = await context.new_page()
        await page.goto("/ask")
        await page.locator("#kind").check()
        await page.locator("#service_code").select_option(SERVICE)
        await page.locator("#title").fill(title)
        await page.locator("#text").fill("Pressed twice.")
        await page.route("**/ask", be_slow)
        await page.get_by_role("button", name="Send", exact=True).click(no_wait_after=True)
        await asyncio.wait_for(taken.wait(), 20)
        await page.keyboard.press("Enter")  # the button still has the focus
        await page.wait_for_url("**/ask/received")
        number = await page.locator(".confirmation .number").inner_text()

        desk = await at_desk.new_page()
        await desk.goto(f"/desk?q={title}")
        rows = desk.locator("[data-row]")
        await reload_until(rows.first)
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text(number)
