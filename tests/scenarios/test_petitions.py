"""4,326 Chinese messages through the whole system: byte for byte to the department's topic and to the page.

Rows are compared by digest and named by number: no test prints a row.
"""

import datetime as dt
import html
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import orjson
import pytest
from aiokafka import ConsumerRecord

from deploy.local.pair import Pair
from harness.installation import Installation
from harness.schema import SECRET
from services.inquiry.config import secret_key
from shared.ids import case_secret
from shared.settings import CoreSettings
from tests.imported import (
    MAPPINGS,
    PETITIONS,
    Command,
    at_rest,
    digest,
    external_ids,
    offers,
    read_topics,
    rows_of,
)

pytestmark = pytest.mark.integration

CENTRE = "hotline-center"
SHANGHAI = ZoneInfo("Asia/Shanghai")


@dataclass
class Petitions:
    """The city after the import: title, text and time of each message by its number, and its inquiry id."""

    city: Installation
    titles: dict[str, str]
    texts: dict[str, str]
    times: dict[str, str]
    inquiries: dict[str, str]


@pytest.fixture(scope="module")
async def petitions(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Petitions]:
    folder = tmp_path_factory.mktemp("petitions")
    rows = rows_of(PETITIONS)
    async with (
        Installation(pair.database_url, pair.access, folder, pack="cn-city") as city,
        asyncpg.create_pool(city.database_url, min_size=1, max_size=2) as pool,
    ):
        command = Command(city.database_url, folder, city.namespace)
        ran = await command.run(PETITIONS, MAPPINGS / "petitions.yaml", "cn-city")
        assert (ran.code, ran.summary["taken"]) == (0, 4_326), ran.stderr
        await at_rest(city, pool)
        yield Petitions(
            city,
            {row["留言编号"]: row["留言主题"] for row in rows},
            {row["留言编号"]: row["留言详情"] for row in rows},
            {row["留言编号"]: row["留言时间"] for row in rows},
            {number: id_ for id_, number in (await external_ids(pool, "petitions")).items()},
        )


async def test_every_message_reaches_the_department_as_it_was_written(petitions: Petitions) -> None:
    offered = await offers(petitions.city)
    assert {unit for unit, events in offered.items() if events} == {CENTRE}
    words = {event["subject"]: event["data"]["words"] for event in offered[CENTRE]}
    assert len(words) == 4_326
    for number, inquiry in petitions.inquiries.items():
        assert digest(words[inquiry]["title"]) == digest(petitions.titles[number]), number
        assert digest(words[inquiry]["text"]) == digest(petitions.texts[number]), number


async def test_the_words_travel_beside_the_event_and_never_in_it(petitions: Petitions) -> None:
    records = await intakes(petitions)
    for number, inquiry in petitions.inquiries.items():
        record = records[inquiry]
        words = orjson.loads(dict(record.headers)["words"])
        assert digest(words["title"]) == digest(petitions.titles[number]), number
        assert digest(words["text"]) == digest(petitions.texts[number]), number
        start = orjson.dumps(petitions.texts[number][:8])[1:-1]
        assert start not in record.value, number


async def test_both_ways_of_writing_a_date_are_read_on_the_clocks_of_the_place(petitions: Petitions) -> None:
    records = await intakes(petitions)
    for number, inquiry in petitions.inquiries.items():
        data = orjson.loads(records[inquiry].value)["data"]
        assert data["service_code"] == "12345-center"
        moment = dt.datetime.fromisoformat(data["original_time"]).astimezone(SHANGHAI)
        written = [int(part) for part in re.findall(r"\d+", petitions.times[number])]
        assert written == list(moment.timetuple()[:6]), number


async def intakes(petitions: Petitions) -> dict[str, ConsumerRecord]:
    """The record of each intake by inquiry id."""
    found: dict[str, ConsumerRecord] = {}
    for record in await read_topics(petitions.city.access, [f"{petitions.city.namespace}.inquiry.v1"]):
        event = orjson.loads(record.value)
        if event["type"] == "civic.inquiry.received.v1":
            found[event["subject"]] = record
    assert len(found) == 4_326
    return found


async def test_unusual_texts_are_shown_on_their_pages_as_they_were_written(petitions: Petitions) -> None:
    odd: dict[str, Callable[[str], bool]] = {
        "line breaks": lambda text: "\n" in text,
        "quotes": lambda text: '"' in text,
        "angle brackets": lambda text: "<" in text,
        "ampersands": lambda text: "&" in text,
        "no-break spaces": lambda text: "\u00a0" in text,
        "zero-width spaces": lambda text: "\u200b" in text,
        "blanks at an end": lambda text: text != text.strip(),
    }
    numbers = [max(petitions.texts, key=lambda number: len(petitions.texts[number]))]
    for is_odd in odd.values():
        numbers += [number for number, text in petitions.texts.items() if is_odd(text)][:1]
    assert len(numbers) >= 6
    for number in numbers:
        assert digest(await _text_on_the_page(petitions, number)) == digest(petitions.texts[number]), number


async def _text_on_the_page(petitions: Petitions, number: str) -> str:
    """What the citizen reads after entering number and secret, in a new browser."""
    inquiry = petitions.inquiries[number]
    secret = case_secret(secret_key(CoreSettings(secret_key=SECRET)), inquiry)
    base = petitions.city.url("inquiry")
    async with httpx.AsyncClient(base_url=base, follow_redirects=True, timeout=20) as browser:
        case = await browser.get(f"/api/inquiry/v1/inquiries/{inquiry}", headers={"X-Case-Secret": secret})
        form = await browser.get("/track")
        token = re.search(r'name="csrf" value="([^"]+)"', form.text)
        assert token
        fields = {"csrf": token[1], "number": case.json()["number"], "secret": secret}
        page = await browser.post("/track", data=fields)
    assert page.status_code == 200
    # The message is the last text on the page, below the department's reply if there is one.
    found = re.findall(r'<p class="text">(.*?)</p>', page.content.decode(), re.DOTALL)
    return html.unescape(found[-1])
