"""The whole life of a case in seconds: business time goes from due moment to due moment."""

import datetime as dt
from pathlib import Path
from random import Random

import httpx
import pytest

from deploy.local.pair import Pair
from harness.city import Citizens, Departments
from harness.driver import ClockDriver, ClockGoesBack, write_clock
from harness.history import History
from harness.installation import Installation
from harness.observation import Observation
from shared.settings import ServiceName

MONDAY = dt.datetime(2026, 11, 23, 2, tzinfo=dt.UTC)
CONCERN = {"title": "井盖丢失", "text": "路口。", "service_code": "municipal-manhole", "area": "yunxi"}


def types_of(history: History, subject: str, source: str) -> list[str]:
    found = [
        (key.ordinal, seen.type)
        for key, seen in history.events.items()
        if key.subject == subject and key.source == source
    ]
    return [kind.removeprefix("civic.").removesuffix(".v1") for _, kind in sorted(found)]


async def test_a_case_is_warned_breached_answered_late_and_closed_of_itself(
    pair: Pair, open_tmp_path: Path
) -> None:
    clock = open_tmp_path / "clock"
    write_clock(clock, MONDAY)
    services: tuple[ServiceName, ...] = ("inquiry", "routing")
    async with (
        Installation(
            pair.database_url, pair.access, open_tmp_path, services=services, clock_file=clock
        ) as installation,
        Observation(installation) as observation,
        httpx.AsyncClient(timeout=10) as client,
    ):
        driver = ClockDriver(clock, observation)
        case = await Citizens(installation, Random(1)).ask(client, CONCERN)
        assert await driver.advance(dt.timedelta(hours=3)) >= 3
        departments = Departments(installation, ["yunxi-urban"])
        await departments.act("yunxi-urban", case.id, "sign", "sign-1")
        await departments.act("yunxi-urban", case.id, "reply", "reply-1", outcome="solved", text="已装好。")
        await observation.settle()
        await driver.advance(dt.timedelta(days=30))
        history = await observation.history()
        assert driver.now == MONDAY + dt.timedelta(days=30, hours=3)
        with pytest.raises(ClockGoesBack):
            await driver.advance_to(MONDAY)
        await departments.close()
    assert history.violations() == []
    assert types_of(history, case.id, "/services/inquiry") == [
        "inquiry.received",
        "inquiry.deadline_warned",
        "inquiry.deadline_warned",
        "inquiry.deadline_warned",
        "inquiry.deadline_breached",
        "inquiry.replied",
        "inquiry.closed",
    ]
