"""A case from dispatch to its reply: routing's facts, the clock, replies in time and late, erasure."""

import datetime as dt

import pytest

from harness.schema import outbox_records
from services.inquiry.domain.states import KNOWN, STATE
from services.inquiry.handlers import build_handlers
from shared.contracts.inquiry import NoteWords, ReplyWords
from shared.contracts.routing import (
    AssignmentReturned,
    AssignmentSigned,
    CaseDispatched,
    CaseTriaged,
    ReplyProposed,
)
from shared.ids import new_id
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.packs import Packs
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from tests.integration.inquiry.conftest import API, CONCERN, KEY_OF_READER, START, Running
from tests.integration.inquiry.course import (
    DUE,
    GRACE,
    LEAD,
    MINUTE,
    evaluate,
    propose,
    replied,
    scheduled,
    signed,
)
from tests.paths import REPO

NO_CASE = "01a20b48-0900-7267-b13f-c4c61c475435"


async def test_the_citizen_sees_who_has_the_case(running: Running) -> None:
    taken = await signed(running)
    case = await running.case(taken)
    assert case["state"] == "in_progress"
    assert case["lead"] == LEAD
    assert case["co"] == ["transport"]
    assert [line["kind"] for line in case["timeline"]] == ["received_accepted", "dispatched", "signed"]


async def test_a_returned_case_goes_back_to_accepted_and_on_to_the_next_lead(running: Running) -> None:
    taken = await signed(running)
    reason = AssignmentReturned(unit=LEAD, role="lead", reason="not_our_duty", action="a-2")
    await running.apply(taken["id"], reason, NoteWords(text="属公路部门"))
    await running.apply(taken["id"], CaseTriaged(reason="returned", attempt=2))
    assert (await running.case(taken))["state"] == "accepted"
    await running.apply(taken["id"], CaseDispatched(lead="transport", rule="r-2", attempt=2))
    case = await running.case(taken)
    assert (case["state"], case["lead"]) == ("dispatched", "transport")
    assert case["timeline"][-3]["data"]["reason"] == "not_our_duty"


async def test_a_fact_about_an_unknown_case_makes_its_row_and_no_fault(running: Running) -> None:
    inquiry = new_id(START)
    await running.apply(inquiry, CaseDispatched(lead=LEAD, rule="r-1", attempt=1))
    row = await running.database.pool.fetchrow("SELECT * FROM inquiry WHERE id = $1", inquiry)
    assert (row["stage"], row["holding"], row["lead"]) == ("unknown", "dispatched", LEAD)
    assert not await running.database.pool.fetchval("SELECT count(*) FROM parked_key")


async def test_a_fact_that_is_delivered_twice_counts_once(running: Running) -> None:
    taken = await running.take_in()
    record = await running.apply(taken["id"], CaseDispatched(lead=LEAD, rule="r-1", attempt=1))
    await running.apply_again(record)
    assert [line["kind"] for line in (await running.case(taken))["timeline"]].count("dispatched") == 1


async def test_the_clock_warns_at_its_marks_and_breaches_a_grace_period_after_due(running: Running) -> None:
    taken = await signed(running)
    assert set(await scheduled(running, taken["id"])) == {"reply_mark"}
    await running.pass_time(DUE)
    marks = [
        event for event in await running.events(taken["id"]) if event["name"] == "inquiry.deadline_warned"
    ]
    assert [event["data"]["percent"] for event in marks] == [50, 80, 100]
    assert [event["effectivetime"] for event in marks] == sorted(event["effectivetime"] for event in marks)
    assert "inquiry.deadline_breached" not in await running.names(taken["id"])
    await running.pass_time(DUE + GRACE)
    assert (await running.names(taken["id"])).count("inquiry.deadline_breached") == 1
    assert (await running.case(taken))["breached"] is True


async def test_a_reply_in_time_is_marked_as_such_and_stops_the_clock(running: Running) -> None:
    taken = await signed(running)
    running.clock.moment = DUE
    await propose(running, taken["id"])
    reply = (await running.events(taken["id"]))[-1]
    assert reply["name"] == "inquiry.replied"
    assert reply["data"]["on_time"] is True
    assert reply["words"]["text"] == "路灯已修复。"
    assert set(await scheduled(running, taken["id"])) == {"evaluation_ends"}


async def test_a_reply_in_time_that_arrives_after_the_breach_withdraws_it(running: Running) -> None:
    taken = await signed(running)
    await running.pass_time(DUE + 10 * MINUTE)
    await propose(running, taken["id"], acted=DUE - MINUTE)
    names = await running.names(taken["id"])
    assert names[-3:] == ["inquiry.deadline_breached", "inquiry.breach_withdrawn", "inquiry.replied"]
    events = await running.events(taken["id"])
    assert events[-2]["data"]["replied_at"] == "2026-11-27T09:29:00Z"
    assert events[-1]["data"]["on_time"] is True
    assert (await running.case(taken))["breached"] is False


async def test_a_late_reply_records_the_breach_itself(running: Running) -> None:
    taken = await signed(running)
    await running.pass_time(DUE + dt.timedelta(seconds=5))
    await propose(running, taken["id"])
    names = await running.names(taken["id"])
    assert names[-2:] == ["inquiry.deadline_breached", "inquiry.replied"]
    await running.pass_time(DUE + GRACE + MINUTE)
    assert (await running.names(taken["id"])).count("inquiry.deadline_breached") == 1


@pytest.mark.parametrize(
    ("unit", "rule"), [("transport", "the_lead_replies"), ("housing", "the_lead_replies")]
)
async def test_a_reply_of_another_unit_is_refused_by_an_event(running: Running, unit: str, rule: str) -> None:
    taken = await signed(running)
    await propose(running, taken["id"], unit=unit)
    refusal = (await running.events(taken["id"]))[-1]
    assert refusal["name"] == "inquiry.request_refused"
    assert refusal["data"] == {
        "state": "in_progress",
        "rule": rule,
        "allowed": [],
        "unit": unit,
        "action": "a-9",
    }
    assert refusal["causationid"] is not None


async def test_a_second_reply_is_refused_and_the_first_stands(running: Running) -> None:
    taken = await replied(running)
    await propose(running, taken["id"])
    names = await running.names(taken["id"])
    assert names[-2:] == ["inquiry.replied", "inquiry.request_refused"]


async def test_a_clerk_accepts_and_the_case_keeps_the_version_of_the_pack(running: Running) -> None:
    taken = await running.take_in(kind="report")
    path = f"{API}/{taken['id']}/accept"
    assert (await running.post(path, {})).status_code == 401
    running.sign_in("officer", unit=LEAD)
    assert (await running.post(path, {})).status_code == 403
    running.sign_in("clerk")
    answer = await running.post(path, {}, key="accept")
    assert answer.json()["state"] == "accepted"
    assert (await running.post(path, {}, key="accept")).json() == answer.json()
    refused = await running.post(path, {})
    assert (refused.status_code, refused.json()["allowed"]) == (409, ["erase"])
    accepted = (await running.events(taken["id"]))[-1]
    assert accepted["name"] == "inquiry.accepted"
    assert accepted["actor"] == "person:u-7"
    assert accepted["data"]["deadline"]["amount"] == 13
    stored = await running.database.pool.fetchval(
        "SELECT policy_version FROM inquiry WHERE id = $1", taken["id"]
    )
    assert stored == accepted["policyversion"]
    assert set(await scheduled(running, taken["id"])) == {"reply_mark"}


async def test_a_dispatch_before_the_acceptance_shows_after_it(running: Running) -> None:
    taken = await running.take_in(kind="report")
    await running.apply(taken["id"], CaseDispatched(lead=LEAD, rule="r-1", attempt=1))
    assert (await running.case(taken))["state"] == "received"
    running.sign_in("clerk")
    assert (await running.post(f"{API}/{taken['id']}/accept", {})).json()["state"] == "dispatched"


async def test_erasure_takes_words_and_contact_and_leaves_the_receipt(running: Running) -> None:
    taken = await running.take_in(contact={"email": "wang@example.cn"})
    await running.apply(taken["id"], CaseDispatched(lead=LEAD, rule="r-1", attempt=1))
    await running.apply(taken["id"], AssignmentSigned(unit=LEAD, role="lead", action="a-1"))
    await propose(running, taken["id"])
    path = f"{API}/{taken['number']}/erasure"
    answer = await running.post(path, {}, secret=taken["secret"])
    assert answer.status_code == 200
    erased = (await running.events(taken["id"]))[-1]
    assert (erased["name"], erased["data"]) == ("inquiry.erased", {"basis": "citizen_request"})
    case = await running.case(taken)
    assert case["words"] is None
    assert all(line["words"] is None for line in case["timeline"])
    pool = running.database.pool
    assert not await pool.fetchval("SELECT count(*) FROM contact WHERE inquiry = $1", taken["id"])
    receipt = await running.client.get(
        f"{API}/{taken['number']}/receipt", headers={"X-Case-Secret": taken["secret"]}
    )
    assert receipt.text == taken["receipt"]["value"]
    again = await running.post(path, {}, secret=taken["secret"])
    assert again.json()["rule"] == "erased_already"


async def test_a_citizen_cannot_erase_in_the_name_of_a_court_and_a_clerk_can(running: Running) -> None:
    taken = await running.take_in()
    path = f"{API}/{taken['number']}/erasure"
    assert (await running.post(path, {"basis": "court_order"})).status_code == 401
    refused = await running.post(path, {"basis": "court_order"}, secret=taken["secret"])
    assert refused.status_code == 403
    running.sign_in("oversight")
    assert (await running.post(path, {"basis": "court_order"})).status_code == 200
    assert (await running.events(taken["id"]))[-1]["data"] == {"basis": "court_order"}


async def test_every_reading_of_a_contact_is_an_event(running: Running) -> None:
    taken = await running.take_in(contact={"name": "王芳", "phone": "138 0000 0000"})
    await running.apply(taken["id"], CaseDispatched(lead=LEAD, rule="r-1", attempt=1))
    path, purpose = f"{API}/{taken['id']}/contact", {"purpose": "call_back"}
    assert (await running.client.post(path, json=purpose)).status_code == 401
    running.sign_in("officer", unit=LEAD)
    long = {"purpose": "call_back" * 1_200}
    for bad in ({}, {"purpose": "oversight"}, {"purpose": "curiosity"}, long, purpose | {"note": "x" * 501}):
        refused = await running.client.post(path, json=bad)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] in ("/purpose", "/note")
        assert len(refused.text) < 500  # what was sent is not sent back
    assert "person.contact_read" not in await running.names(taken["id"])
    read = await running.client.post(path, json=purpose | {"note": "第二次回访"})
    assert read.json()["name"] == "王芳"
    event = (await running.events(taken["id"]))[-1]
    assert (event["name"], event["data"], event["words"]["text"]) == (
        "person.contact_read",
        {"purpose": "call_back", "reader": "person:u-7"},
        "第二次回访",
    )


async def test_an_officer_cannot_tell_the_case_of_others_from_none(running: Running) -> None:
    taken = await running.take_in(contact={"name": "王芳"})
    await running.apply(taken["id"], CaseDispatched(lead=LEAD, rule="r-1", attempt=1))
    for unit in ("housing", None):
        running.client.cookies.clear()
        running.sign_in("officer", unit=unit)
        for body in ({"purpose": "call_back"}, {"purpose": "curiosity"}):
            answers = [
                await running.client.post(f"{API}/{case}/contact", json=body)
                for case in (taken["id"], taken["number"], NO_CASE, "20261124-0000000000-0", "no case")
            ]
            assert {(answer.status_code, answer.text) for answer in answers} == {(403, answers[0].text)}
    assert "person.contact_read" not in await running.names(taken["id"])
    running.client.cookies.clear()
    running.sign_in("clerk")
    unknown = await running.client.post(f"{API}/{NO_CASE}/contact", json={"purpose": "deliver"})
    assert unknown.status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_link_reads_no_contact_and_says_what_does(running: Running, method: str) -> None:
    """A link in a mail put a false reading on an officer's record."""
    taken = await running.take_in(contact={"name": "王芳"})
    running.sign_in("clerk")
    for case in (taken["id"], NO_CASE):
        path = f"{API}/{case}/contact"
        for query in ({}, {"purpose": "call_back"}, {"purpose": "x" * 10_000}):
            refused = await running.client.request(method, path, params=query)
            assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
            if method == "GET":
                assert refused.headers["content-type"] == "application/problem+json"
                assert "POST /api/inquiry/v1/inquiries/{reference}/contact" in refused.json()["detail"]
    assert "person.contact_read" not in await running.names(taken["id"])


async def test_a_unit_reads_a_contact_only_while_it_holds_the_case(running: Running) -> None:
    taken = await signed(running, contact={"name": "王芳"})
    path, purpose = f"{API}/{taken['id']}/contact", {"purpose": "deliver"}
    running.sign_in("officer", unit=LEAD)
    await propose(running, taken["id"])
    assert (await running.client.post(path, json=purpose)).status_code == 200
    await evaluate(running, taken)
    assert (await running.client.post(path, json=purpose)).status_code == 403
    running.sign_in("clerk")
    assert (await running.client.post(path, json=purpose)).status_code == 200


async def test_a_list_shows_a_machine_no_title_of_a_secret_case(running: Running) -> None:
    levels = ("public", "withheld", "secret")
    ids = {level: (await running.take_in(visibility=level))["id"] for level in levels}

    async def titles(**headers: str) -> list[str | None]:
        items = (await running.client.get(API, headers=headers)).json()["items"]
        return [next(item["title"] for item in items if item["id"] == ids[level]) for level in levels]

    title = CONCERN["title"]
    assert await titles(Authorization=f"Bearer {KEY_OF_READER}") == [title, title, None]
    running.sign_in("clerk")
    assert await titles() == [title] * 3


async def test_lists_are_for_staff_and_page_without_gaps(running: Running) -> None:
    assert (await running.client.get(API)).status_code == 401
    ids = [(await running.take_in(kind="report"))["id"] for _ in range(5)]
    running.sign_in("clerk")
    seen: list[str] = []
    cursor = None
    while True:
        params = {"state": "received", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await running.client.get(API, params=params)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert set(ids) <= set(seen)
    assert (await running.client.get(API, params={"cursor": "rubbish"})).status_code == 400
    assert (await running.client.get(API, params={"state": "nonsense"})).status_code == 422


async def test_a_list_of_a_state_has_the_cases_in_it_and_no_other(running: Running) -> None:
    pairs = {(await running.take_in(kind="report"))["id"]: pair for pair in STATE}
    for case, (stage, holding) in pairs.items():
        update = "UPDATE inquiry SET stage = $2, holding = $3 WHERE id = $1"
        await running.database.pool.execute(update, case, stage, holding)
    running.sign_in("clerk")
    for state in KNOWN:
        items = (await running.client.get(API, params={"state": state, "limit": 200})).json()["items"]
        assert {item["state"] for item in items} == {state}
        assert {item["id"] for item in items} & pairs.keys() == {
            case for case, pair in pairs.items() if STATE[pair] is state
        }


async def test_a_partition_batch_of_many_cases_is_applied_as_one(running: Running) -> None:
    ids = [(await running.take_in())["id"] for _ in range(5)]
    async with running.routing.transaction(ids) as tx:
        for inquiry in ids:
            tx.emit(CaseDispatched(lead=LEAD, rule="r-1", attempt=1), subject=inquiry)
            tx.emit(AssignmentSigned(unit=LEAD, role="lead", action="a-1"), subject=inquiry)
        for inquiry in ids[:4]:
            reply = ReplyProposed(unit=LEAD, outcome="solved", action="a-2")
            tx.emit(reply, subject=inquiry, words=ReplyWords(text="好了"))
        tx.emit(ReplyProposed(unit="housing", outcome="solved", action="a-3"), subject=ids[4])
    records = (await outbox_records(running.routing.pool, "civic.routing.v1"))[-15:]
    await running.database.pool.execute("DELETE FROM cursor")
    await PartitionBatchProcessor(running.database, "inquiry", running.parts.handlers).process(
        records, start=0
    )
    last = [(await running.names(inquiry))[-1] for inquiry in ids]
    assert last == ["inquiry.replied"] * 4 + ["inquiry.request_refused"]


async def test_a_case_keeps_its_version_of_the_pack_when_another_comes_into_force(running: Running) -> None:
    taken = await signed(running)
    old = load_pack(REPO / "policies" / "cn-city")
    kinds = [
        kind | {"evaluation": kind["evaluation"] | {"amount": 10}}
        for kind in old.model_dump(mode="json")["kinds"]
    ]
    changed = Pack.of(old.model_dump(mode="json") | {"kinds": kinds})
    newer = Packs(changed, REPO / "policies" / "cn-city", running.database.connect)
    handlers_of_newer = build_handlers(newer)
    async with running.routing.transaction([taken["id"]]) as tx:
        tx.emit(ReplyProposed(unit=LEAD, outcome="solved", action="a"), subject=taken["id"])
    record = (await outbox_records(running.routing.pool, "civic.routing.v1"))[-1]
    await running.database.pool.execute("DELETE FROM cursor")
    await PartitionBatchProcessor(running.database, "inquiry", handlers_of_newer).process([record], start=0)
    replied = (await running.events(taken["id"]))[-1]
    assert replied["policyversion"] == old.version != newer.current.version
    # 3 calendar days, not 10
    assert replied["data"]["evaluate_until"] == "2026-11-27T15:59:59Z"
