"""Access to a case, and how guessing at secrets is slowed down."""

import asyncio
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.inquiry.config import WRONG_SECRETS_PER_NUMBER
from services.inquiry.http.access import Access
from shared.ids import case_number, new_id
from shared.web.ratelimit import WRONG_SECRETS_PER_CLIENT
from tests.integration.inquiry.conftest import API, START, Running

ZONE = ZoneInfo("Asia/Shanghai")
WRONG = "0000-0000-0000-0000"


async def look(running: Running, reference: str, secret: str | None) -> httpx.Response:
    return await running.client.get(
        f"{API}/{reference}", headers={"X-Case-Secret": secret} if secret is not None else {}
    )


async def test_the_secret_may_be_typed_as_it_sounds(running: Running) -> None:
    taken = await running.take_in()
    typed = taken["secret"].lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert (await look(running, taken["number"].lower().replace("-", ""), typed)).status_code == 200


async def test_an_unknown_number_and_a_wrong_secret_are_answered_alike(running: Running) -> None:
    taken = await running.take_in()
    unknown = case_number(new_id(START), ZONE)
    wrong, missing = await look(running, taken["number"], WRONG), await look(running, unknown, WRONG)
    assert wrong.status_code == missing.status_code == 404
    assert wrong.json() == missing.json()
    assert (await look(running, taken["number"], None)).status_code == 401
    assert (await look(running, "nonsense", WRONG)).status_code == 404


async def test_wrong_secrets_for_one_case_are_slowed_down_and_right_ones_are_not(running: Running) -> None:
    taken = await running.take_in()
    for _ in range(20):
        assert (await look(running, taken["number"], taken["secret"])).status_code == 200
    burst = WRONG_SECRETS_PER_NUMBER[0]
    statuses = [(await look(running, taken["number"], WRONG)).status_code for _ in range(burst + 2)]
    assert statuses == [404] * burst + [429] * 2
    refused = await look(running, taken["number"], WRONG)
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["type"].endswith(":too-many-attempts")
    assert (await look(running, taken["number"], taken["secret"])).status_code == 200


async def test_many_right_secrets_at_once_are_all_let_in(running: Running) -> None:
    taken = await running.take_in()
    looks = [look(running, taken["number"], taken["secret"]) for _ in range(2 * WRONG_SECRETS_PER_CLIENT[0])]
    assert {answer.status_code for answer in await asyncio.gather(*looks)} == {200}


async def test_another_spelling_of_the_number_meets_the_same_limit(running: Running) -> None:
    taken = await running.take_in()
    number = taken["number"]
    spellings = [number, number.lower(), number.replace("-", ""), f" {number}"]
    statuses = [(await look(running, spellings[n % 4], WRONG)).status_code for n in range(6)]
    assert statuses[-1] == 429


async def test_the_id_of_a_case_meets_the_same_limit_as_its_number(running: Running) -> None:
    taken = await running.take_in()
    for _ in range(WRONG_SECRETS_PER_NUMBER[0]):
        await look(running, taken["number"], WRONG)
    assert (await look(running, taken["id"], WRONG)).status_code == 429


async def test_a_client_that_guesses_at_many_cases_is_slowed_down(running: Running) -> None:
    numbers = [case_number(new_id(START), ZONE) for _ in range(WRONG_SECRETS_PER_CLIENT[0] + 1)]
    statuses = [(await look(running, number, WRONG)).status_code for number in numbers]
    assert statuses == [404] * WRONG_SECRETS_PER_CLIENT[0] + [429]
    taken = await running.take_in()
    assert (await look(running, taken["number"], WRONG)).status_code == 429
    right = await look(running, taken["number"], taken["secret"])
    assert right.status_code == 200, "another person may be behind the same address"


async def test_a_thousand_wrong_secrets_do_not_refuse_the_right_one_of_the_same_address(
    running: Running,
) -> None:
    taken = await running.take_in()
    statuses = [(await look(running, taken["number"], WRONG)).status_code for _ in range(1000)]
    assert set(statuses[WRONG_SECRETS_PER_CLIENT[0] :]) == {429}
    assert (await look(running, taken["number"], taken["secret"])).status_code == 200
    other = await running.take_in()
    assert (await look(running, other["number"], other["secret"])).status_code == 200
    assert (await look(running, taken["number"], WRONG)).status_code == 429


async def test_a_client_above_its_limit_does_not_use_up_the_limit_of_a_case(running: Running) -> None:
    for _ in range(WRONG_SECRETS_PER_CLIENT[0]):
        await look(running, case_number(new_id(START), ZONE), WRONG)
    taken = await running.take_in()
    for _ in range(WRONG_SECRETS_PER_NUMBER[0]):
        assert (await look(running, taken["number"], WRONG)).status_code == 429
    transport = running.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    transport.client = ("198.51.100.7", 1)
    assert (await look(running, taken["number"], WRONG)).status_code == 404


async def test_staff_need_no_secret_and_others_do(running: Running) -> None:
    taken = await running.take_in()
    running.sign_in("officer", unit="housing")
    assert (await look(running, taken["id"], None)).status_code == 401
    running.sign_in("oversight")
    assert (await look(running, taken["id"], None)).status_code == 200


async def test_an_unreachable_database_does_not_count_as_guessing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await running.take_in()

    async def away(*_: object) -> None:
        raise ConnectionRefusedError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(Access, "find", away)
        statuses = {
            (await look(running, taken["number"], taken["secret"])).status_code
            for _ in range(WRONG_SECRETS_PER_CLIENT[0] + 1)
        }
    assert statuses == {503}
    assert (await look(running, taken["number"], taken["secret"])).status_code == 200
