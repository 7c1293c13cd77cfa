"""Requests that arrive at the same time: taken in as a batch, yet each as if it were alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from services.inquiry.domain.concern import Concern
from services.inquiry.intake import Intake, IntakeResult
from services.inquiry.intake_batcher import IntakeBatcher
from shared.contracts.inquiry import InquiryWords
from shared.errors import EventTooLarge
from shared.packs import Packs
from shared.unit_of_work.idempotency import KeyReused, Request
from shared.unit_of_work.transaction import Tx
from tests.integration.inquiry.conftest import API, CONCERN, Running

TOO_LARGE = "太大"


class RefusingIntake(Intake):
    """Fails a whole batch because of one title, as the real one does for an event above the bound."""

    async def take_in(
        self, tx: Tx, concerns: Sequence[Concern], *, actor: str = "citizen"
    ) -> list[IntakeResult]:
        taken = await super().take_in(tx, concerns, actor=actor)
        if any(concern.words.title == TOO_LARGE for concern in concerns):
            raise EventTooLarge(TOO_LARGE)
        return taken


@pytest.fixture
async def batcher(running: Running) -> IntakeBatcher:
    packs = await Packs.open(running.database, running.database.settings)
    return IntakeBatcher(running.database, RefusingIntake(packs, b"k" * 32))


def concern(title: str) -> Concern:
    return Concern(InquiryWords(title=title, text="说明"), "help", "municipal-street-light", "api")


def request(key: str, body: bytes = b"{}") -> Request:
    return Request("citizen POST /here", key, body)


async def cases(running: Running) -> int:
    found: int = await running.database.pool.fetchval("SELECT count(*) FROM inquiry")
    return found


async def test_many_at_a_time_get_a_case_each_in_few_transactions(running: Running) -> None:
    answers = await asyncio.gather(*(running.post(API, CONCERN) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {201}
    ids = [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == 40
    rows = await running.database.pool.fetch("SELECT id, xmin::text AS transaction FROM inquiry")
    assert {row["id"] for row in rows} == set(ids)
    assert len({row["transaction"] for row in rows}) < 20


async def test_each_is_answered_with_its_own_concern(running: Running, batcher: IntakeBatcher) -> None:
    titles = [f"第{number}盏灯" for number in range(30)]
    values = await asyncio.gather(
        *(
            batcher.take_in(request(title), concern(title), f"actor:{number % 3}")
            for number, title in enumerate(titles)
        )
    )
    events = [orjson.loads(value) for value in values]
    assert [event["actor"] for event in events] == [f"actor:{number % 3}" for number in range(30)]
    for event, title in zip(events, titles, strict=True):
        words = await running.database.pool.fetchval(
            "SELECT words FROM received WHERE inquiry = $1", event["subject"]
        )
        assert orjson.loads(words)["title"] == title


async def test_one_key_many_times_at_once_is_one_case_and_one_answer(
    running: Running, batcher: IntakeBatcher
) -> None:
    before = await cases(running)
    values = await asyncio.gather(
        *(batcher.take_in(request(f"key-{number % 2}"), concern("灯"), "citizen") for number in range(20))
    )
    assert len(set(values)) == 2
    assert values[0] == values[2] != values[1]
    assert await cases(running) == before + 2


async def test_of_one_key_with_two_bodies_at_once_only_the_second_is_refused(batcher: IntakeBatcher) -> None:
    found = await asyncio.gather(
        batcher.take_in(request("same", b"one"), concern("灯"), "citizen"),
        batcher.take_in(request("same", b"other"), concern("灯"), "citizen"),
        batcher.take_in(request("mine", b"third"), concern("灯"), "citizen"),
        return_exceptions=True,
    )
    assert [type(one) for one in found] == [bytes, KeyReused, bytes]


async def test_a_concern_that_cannot_be_taken_in_fails_no_other(
    running: Running, batcher: IntakeBatcher
) -> None:
    before = await cases(running)
    found: list[Any] = await asyncio.gather(
        *(
            batcher.take_in(request(f"{number}"), concern(TOO_LARGE if number == 7 else "灯"), "citizen")
            for number in range(12)
        ),
        return_exceptions=True,
    )
    assert [number for number, one in enumerate(found) if isinstance(one, EventTooLarge)] == [7]
    assert await cases(running) == before + 11
