"""The citizen's evaluation of the reply, and the rounds after it, on the real database."""

import asyncio
import datetime as dt
from typing import Any

import pytest

from tests.integration.inquiry.conftest import API, Running
from tests.integration.inquiry.course import (
    GRACE,
    evaluate,
    propose,
    replied,
    scheduled,
    signed,
)


async def due(running: Running, taken: dict[str, Any]) -> dt.datetime:
    """When the reply is due in the case's present round."""
    return dt.datetime.fromisoformat((await running.case(taken))["deadline"]["due"])


async def test_a_good_evaluation_closes_the_case(running: Running) -> None:
    taken = await replied(running)
    answer = await evaluate(running, taken, comment="谢谢")
    assert answer.status_code == 200
    assert answer.json()["state"] == "closed"
    closed = (await running.events(taken["id"]))[-1]
    assert closed["data"]["evaluation"] == {"contacted": True, "solved": "yes", "rating": 5}
    assert closed["words"]["text"] == "谢谢"
    assert answer.json()["sequence"] == int(closed["sequence"])
    assert await scheduled(running, taken["id"]) == {}


async def test_not_solved_reopens_with_half_the_budget_until_no_rework_is_left(running: Running) -> None:
    taken = await replied(running)
    states = []
    for _ in range(3):
        states.append((await evaluate(running, taken, solved="no", rating=1)).json()["state"])
        if states[-1] == "in_progress":
            await propose(running, taken["id"])
    assert states == ["in_progress", "in_progress", "closed"]
    events = await running.events(taken["id"])
    reopened = [event for event in events if event["name"] == "inquiry.reopened"]
    assert [event["data"]["cycle"] for event in reopened] == [2, 3]
    assert [event["data"]["deadline"]["amount"] for event in reopened] == [2, 2]
    assert events[-1]["data"]["outcome"] == "unsolved"
    again = {"comment": "还是不亮"}
    refused = await running.post(f"{API}/{taken['number']}/reopen", again, secret=taken["secret"])
    assert refused.status_code == 409
    assert refused.json()["rule"] == "at_most_2_reworks"


async def test_a_case_breached_in_its_first_round_is_judged_again_in_its_second(running: Running) -> None:
    taken = await signed(running)
    first = await due(running, taken)
    await running.pass_time(first + GRACE)
    await propose(running, taken["id"], acted=first + GRACE)
    assert (await evaluate(running, taken, solved="no", rating=1)).json()["state"] == "in_progress"
    second = await due(running, taken)
    await running.pass_time(second + GRACE)
    await propose(running, taken["id"], acted=second + GRACE)
    breaches = [
        (event["data"]["cycle"], dt.datetime.fromisoformat(event["data"]["due"]))
        for event in await running.events(taken["id"])
        if event["name"] == "inquiry.deadline_breached"
    ]
    assert breaches == [(1, first), (2, second)]


async def test_a_late_reply_before_the_deadline_check_breaches_the_second_round(running: Running) -> None:
    taken = await signed(running)
    first = await due(running, taken)
    await running.pass_time(first + GRACE)
    await propose(running, taken["id"], acted=first + GRACE)
    await evaluate(running, taken, solved="no", rating=1)
    second = await due(running, taken)
    running.clock.moment = second + GRACE
    await propose(running, taken["id"], acted=second + GRACE)
    assert (await running.names(taken["id"]))[-2:] == ["inquiry.deadline_breached", "inquiry.replied"]
    await running.pass_time(second + 2 * GRACE)
    assert (await running.names(taken["id"])).count("inquiry.deadline_breached") == 2


async def test_without_an_evaluation_the_case_closes_by_itself(running: Running) -> None:
    taken = await replied(running)
    until = (await scheduled(running, taken["id"]))["evaluation_ends"]
    await running.pass_time(until + GRACE)
    assert (await running.events(taken["id"]))[-1]["data"]["outcome"] == "no_evaluation"
    assert (await running.case(taken))["state"] == "closed"
    late = await evaluate(running, taken)
    assert late.status_code == 409
    assert late.json()["allowed"] == ["reopen", "erase"]


async def test_a_closed_case_can_be_reopened_in_its_window_and_not_after(running: Running) -> None:
    taken, other = await replied(running), await replied(running)
    for one in (taken, other):
        await evaluate(running, one)
    last = dt.datetime.fromisoformat((await running.case(taken))["reopen_until"])
    running.clock.moment = last
    path = f"{API}/{taken['number']}/reopen"
    again = await running.post(path, {"comment": "又不亮了"}, secret=taken["secret"])
    assert again.json()["state"] == "in_progress"
    assert (await running.events(taken["id"]))[-1]["words"]["text"] == "又不亮了"
    running.clock.moment = last + dt.timedelta(seconds=1)
    path = f"{API}/{other['number']}/reopen"
    refused = await running.post(path, {"comment": "又不亮了"}, secret=other["secret"])
    assert refused.json()["rule"] == "reopen_within_the_window"


@pytest.mark.parametrize("body", [{}, {"comment": None}, {"comment": ""}, {"comment": " \n"}])
async def test_a_request_for_a_new_round_needs_a_comment(running: Running, body: dict[str, Any]) -> None:
    taken = await replied(running)
    await evaluate(running, taken)
    refused = await running.post(f"{API}/{taken['number']}/reopen", body, secret=taken["secret"])
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/comment"]
    assert (await running.names(taken["id"]))[-1] == "inquiry.closed"


async def test_anybody_can_recompute_the_deadline_of_a_new_round(running: Running) -> None:
    taken = await replied(running)
    await evaluate(running, taken, solved="no", rating=1)
    stated = (await running.case(taken))["deadline"]
    asked = {"kind": "help", "service_code": "municipal-street-light", "start": stated["start"]}
    first, again = [
        (await running.client.get("/api/inquiry/v1/deadlines", params=asked | more)).json()
        for more in ({}, {"rework": "true", "version": stated["policy_version"]})
    ]
    assert again == stated
    assert first["amount"] > again["amount"]


async def test_an_evaluation_before_the_reply_is_refused_with_what_is_allowed(running: Running) -> None:
    taken = await signed(running)
    answer = await evaluate(running, taken)
    assert answer.status_code == 409
    assert answer.json() | {"detail": ""} == {
        "type": "urn:civicloom:problem:not-now",
        "title": "The case does not allow this now",
        "status": 409,
        "detail": "",
        "state": "in_progress",
        "rule": "evaluate_after_the_reply",
        "allowed": ["erase"],
    }


@pytest.mark.parametrize("changes", [{"rating": True}, {"rating": "5"}, {"contacted": "off"}])
async def test_an_evaluation_of_other_types_is_refused(running: Running, changes: dict[str, Any]) -> None:
    taken = await replied(running)
    answer = await evaluate(running, taken, **changes)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{name}" for name in changes]
    assert (await running.names(taken["id"]))[-1] == "inquiry.replied"


async def test_two_evaluations_at_once_are_one(running: Running) -> None:
    taken = await replied(running)
    answers = await asyncio.gather(evaluate(running, taken), evaluate(running, taken, rating=1))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert (await running.names(taken["id"])).count("inquiry.closed") == 1
