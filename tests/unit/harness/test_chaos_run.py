"""What a chaos run does when it goes wrong itself: it ends with the reason, and leaves nothing running."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.driver import write_clock
from harness.installation import NotReady
from harness.observation import NotQuiet
from tests.chaos.run import MONDAY, ChaosRun
from tests.integration.publisher.sinks import MailSink


class City:
    """Citizens, departments, installation and observation in one; each can be made to fail."""

    def __init__(self) -> None:
        self.random = Random(1)
        self.cases: dict[str, Any] = {}
        self.evaluated: dict[str, int] = {}
        self.closed = False
        self.department_fails = self.answers_never = self.comes_back_never = False

    async def run(self) -> None:
        try:
            if self.department_fails:
                raise KeyError("role")
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def ask(self, _: Any) -> None:
        if self.answers_never:
            await asyncio.Event().wait()

    async def ready(self, *, seconds: float) -> None:
        if self.comes_back_never:
            raise NotReady(f"not in {seconds} s")

    async def settle(self, _: float) -> None:
        if self.comes_back_never:
            raise NotQuiet("routing: 3 unread")


async def no_letters(_: City, __: float) -> None:
    return


@pytest.fixture
def city() -> City:
    return City()


@pytest.fixture
def run(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChaosRun:
    monkeypatch.setattr("tests.chaos.run.send_letters", no_letters)
    write_clock(tmp_path / "clock", MONDAY)
    whole: Any = city
    return ChaosRun(whole, whole, whole, whole, whole, tmp_path / "clock", MailSink())


async def test_a_run_that_goes_well_ends_all_its_tasks_and_finds_nothing(run: ChaosRun, city: City) -> None:
    async with run.at_work(rest_seconds=5):
        await asyncio.sleep(0)
    assert city.closed
    assert run.unrest == []


async def test_a_department_that_fails_ends_the_run_with_its_error(run: ChaosRun, city: City) -> None:
    city.department_fails = True
    with pytest.RaisesGroup(KeyError):
        async with run.at_work(rest_seconds=5):
            await asyncio.Event().wait()


async def test_a_body_that_fails_ends_what_runs_beside_it(run: ChaosRun, city: City) -> None:
    others = asyncio.all_tasks()
    with pytest.RaisesGroup(ZeroDivisionError):
        async with run.at_work(rest_seconds=5):
            await asyncio.sleep(0)
            raise ZeroDivisionError
    assert city.closed
    assert asyncio.all_tasks() == others


async def test_what_never_comes_to_rest_is_found_and_not_waited_for(run: ChaosRun, city: City) -> None:
    city.answers_never = city.comes_back_never = True
    async with run.at_work(rest_seconds=0.3):
        await asyncio.sleep(0)
    assert [violation.invariant for violation in run.unrest] == ["I6", "alive", "I6"]
    assert city.closed
