"""The API over a real PostgreSQL: who may do what, and every kind of bad input."""

import asyncio
from typing import Any

import httpx
import pytest

from services.routing.domain.decisions import MOST_REFUSALS
from services.routing.http import desk
from shared.contracts.inquiry import InquiryReplied
from tests.integration.routing.conftest import DUE, KEY_OF_WATER, UNKNOWN, WORDS, SignIn, World, hidden

pytestmark = pytest.mark.integration
LEAD = "urban-management"
API = "/api/routing/v1"


def key(name: str = "k-1") -> dict[str, str]:
    return {"Idempotency-Key": name}


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("urn:civicloom:problem:")


async def triaged(world: World) -> str:
    return await world.dispatched(service_code="no-such-service")


async def test_an_officer_lists_signs_and_replies(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    officer = sign_in("officer", unit=LEAD)
    (item,) = (await officer.get(f"{API}/cases")).json()["items"]
    assert (item["id"], item["title"], item["assignment"]) == (subject, WORDS.title, "offered")
    signed = await officer.post(f"{API}/cases/{subject}/actions/sign", headers=key())
    assert signed.status_code == 200
    assert (signed.json()["state"], signed.json()["sequence"]) == ("held", 2)
    reply = {"outcome": "solved", "text": "已更换灯泡。"}
    response = await officer.post(f"{API}/cases/{subject}/actions/reply", json=reply, headers=key("k-2"))
    assert response.status_code == 200
    case = (await officer.get(f"{API}/cases/{subject}")).json()
    assert (case["reply_pending"], case["allowed"], case["words"]["text"]) == (True, [], WORDS.text)
    event = (await world.emitted(about=subject))[-1]
    assert (event.type, event.actor) == ("civic.assignment.reply_proposed.v1", "person:officer-1")
    assert await world.types(LEAD) == ["department.case_offered"]
    answer = InquiryReplied(unit=LEAD, outcome="solved", cycle=1, on_time=True, evaluate_until=DUE)
    await world.take(world.fact(subject, answer, causation=event.id))
    case = (await officer.get(f"{API}/cases/{subject}")).json()
    assert (case["state"], case["assignments"][0]["state"]) == ("replied", "replied")
    (item,) = (await officer.get(f"{API}/cases?state=replied")).json()["items"]
    assert item["assignment"] == "replied"


async def test_the_same_key_answers_the_same_and_another_body_is_a_conflict(
    world: World, sign_in: SignIn
) -> None:
    subject = await world.dispatched()
    officer = sign_in("officer", unit=LEAD)
    address = f"{API}/cases/{subject}/actions/return"
    body = {"reason": "not_our_area", "text": "属邻区"}
    first, second = await asyncio.gather(*(officer.post(address, json=body, headers=key()) for _ in "ab"))
    assert first.json() == second.json()
    other = await officer.post(address, json=body | {"text": "?"}, headers=key())
    assert problem(other) == (409, "key-reused")
    assert (await world.types(about=subject)).count("assignment.returned") == 1


async def test_a_stranger_cannot_tell_a_case_from_none_and_leaves_no_trace(
    world: World, sign_in: SignIn
) -> None:
    subject = await world.dispatched()
    officer = sign_in("officer", unit="water")
    tables = ("outbox", "idempotency_key", "aggregate")
    rows = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    before = await world.database.pool.fetchrow(rows)
    answers = {}
    bodies = {
        "sign": None,
        "reply": {"outcome": "solved", "text": "?"},
        "return": {"reason": "not_our_area", "text": "?"},
    }
    for case in (subject, UNKNOWN):
        for number in range(5):
            for verb, body in bodies.items():
                address = f"{API}/cases/{case}/actions/{verb}"
                answers[case, verb, number] = await officer.post(
                    address, json=body, headers=key(f"k-{number}")
                )
        answers[case, "read", 0] = await officer.get(f"{API}/cases/{case}")
        answers[case, "page", 0] = await officer.get(f"/desk/cases/{case}")
    assert {problem(answer) for answer in answers.values()} == {(403, "not-your-case")}
    assert len({answer.text for answer in answers.values()}) == 1
    assert await world.database.pool.fetchrow(rows) == before
    # The same key acts once the unit has its part.
    await world.act(LEAD, subject, "return", reason="not_our_area", text="属邻区")
    place = {"lead": "water", "co": []}
    placed = await sign_in("dispatcher").post(f"{API}/triage/{subject}/dispatch", json=place, headers=key())
    assert placed.status_code == 200
    assert (await officer.post(f"{API}/cases/{subject}/actions/sign", headers=key("k-0"))).status_code == 200


async def test_a_stranger_at_the_desk_cannot_act_and_waits_for_nothing(
    world: World, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign")
    await world.act(LEAD, subject, "reply", "a-2", outcome="solved", text="已更换灯泡。")
    officer = sign_in("officer", unit="water")

    async def waits(*_: object) -> None:
        pytest.fail("how long a page waits tells that a reply is pending")

    monkeypatch.setattr(desk, "_wait_for_answer", waits)
    page = (await officer.get("/desk")).text
    form = {"csrf": hidden(page, "csrf"), "idempotency_key": "k-1"}
    for case in (subject, UNKNOWN):
        assert problem(await officer.get(f"/desk/cases/{case}?after=1")) == (403, "not-your-case")
        assert problem(await officer.post(f"/desk/cases/{case}/sign", data=form)) == (403, "not-your-case")
    assert "routing.request_refused" not in await world.types()


async def test_the_same_key_of_another_unit_is_another_key(world: World, sign_in: SignIn) -> None:
    """An officer who moves to another unit, or a machine of two, got the first unit's answer."""
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    address = f"{API}/cases/{subject}/actions/sign"
    answers = [
        await sign_in("officer", unit=unit).post(address, headers=key()) for unit in ("water", "yunxi-urban")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [event.data["unit"] for event in (await world.emitted(about=subject))[1:]] == [
        "water",
        "yunxi-urban",
    ]
    again = await sign_in("officer", unit="water").post(address, headers=key())
    assert again.json() == answers[0].json()


async def test_a_department_is_refused_on_the_record_ten_times_a_day(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign")
    officer = sign_in("officer", unit=LEAD)
    for number in range(MOST_REFUSALS + 3):
        response = await officer.post(f"{API}/cases/{subject}/actions/sign", headers=key(f"k-{number}"))
        assert problem(response) == (409, "not-now")
        assert (response.json()["rule"], response.json()["allowed"]) == (
            "signed_already",
            ["reply", "return"],
        )
        again = await officer.post(f"{API}/cases/{subject}/actions/sign", headers=key(f"k-{number}"))
        assert again.json() == response.json()
    assert (await world.types(about=subject)).count("routing.request_refused") == MOST_REFUSALS


async def test_a_unit_that_returned_a_secret_case_cannot_read_it(world: World, sign_in: SignIn) -> None:
    subjects = {level: await world.dispatched(visibility=level) for level in ("withheld", "secret")}
    officer, dispatcher = sign_in("officer", unit=LEAD), sign_in("dispatcher")
    for level, subject in subjects.items():
        held = (await officer.get(f"{API}/cases/{subject}")).json()
        assert (held["words"]["title"], held["words_hidden"]) == (WORDS.title, False)
        returned = {"reason": "not_our_duty", "text": "与我单位有利害关系"}
        await world.act(LEAD, subject, "return", f"return-{level}", **returned)
    open_, secret = [(await officer.get(f"{API}/cases/{subject}")).json() for subject in subjects.values()]
    assert (open_["words"]["title"], open_["words_hidden"]) == (WORDS.title, False)
    assert (secret["words"], secret["words_hidden"], secret["assignments"][0]["note"]) == (None, True, None)
    read = (await dispatcher.get(f"{API}/cases/{subjects['secret']}")).json()
    assert (read["words"]["title"], read["assignments"][0]["note"]) == (WORDS.title, "与我单位有利害关系")
    page = (await officer.get(f"/desk/cases/{subjects['secret']}")).text
    assert "内容保密" in page
    assert WORDS.title not in page
    assert "利害关系" not in page


async def test_an_operator_reads_no_case(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    operator = sign_in("operator")
    assert problem(await operator.get(f"{API}/cases/{subject}")) == (403, "no-unit")
    assert (await operator.get(f"/desk/cases/{subject}?unit={LEAD}")).status_code == 403


async def test_a_machine_acts_for_the_unit_of_its_scope_alone(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    machine = sign_in()
    machine.headers["Authorization"] = f"Bearer {KEY_OF_WATER}"
    response = await machine.post(f"{API}/cases/{subject}/actions/sign", headers=key())
    assert response.status_code == 200
    assert (await world.emitted(about=subject))[-1].actor == "machine:water-backend"
    other = await machine.post(f"{API}/cases/{subject}/actions/sign?unit=yunxi-urban", headers=key("k-2"))
    assert problem(other) == (403, "not-your-unit")
    assert problem(await machine.get(f"{API}/cases?unit=yunxi-urban")) == (403, "not-your-unit")
    assert problem(await machine.get(f"{API}/triage")) == (403, "missing-scope")


@pytest.mark.parametrize(
    ("role", "path", "expected"),
    [
        (None, "/cases", (401, "sign-in-needed")),
        (None, "/triage", (401, "sign-in-needed")),
        ("officer", "/cases", (403, "no-unit")),
        ("clerk", "/cases", (403, "no-unit")),
        ("officer", "/triage", (403, "wrong-role")),
        ("dispatcher", f"/cases/{UNKNOWN}", (404, "no-such-case")),
        ("dispatcher", "/cases/' OR 1=1", (404, "no-such-case")),
        ("dispatcher", "/triage?cursor=garbage", (400, "bad-cursor")),
        ("dispatcher", "/triage?cursor=WyJ4IiwieSJd", (400, "bad-cursor")),
        ("dispatcher", "/triage?limit=0", (422, "invalid")),
        ("dispatcher", "/cases?unit=Nope!", (422, "invalid")),
        ("dispatcher", "/cases", (422, "which-unit")),
        ("dispatcher", "/cases?unit=nope", (404, "no-such-unit")),
        ("dispatcher", "/cases?unit=nope&state=closed", (404, "no-such-unit")),
        ("dispatcher", "/cases?unit=water&state=lost", (422, "invalid")),
    ],
)
async def test_a_reader_without_permission_or_with_bad_input_gets_a_problem(
    world: World, sign_in: SignIn, role: str | None, path: str, expected: tuple[int, str]
) -> None:
    assert problem(await sign_in(role).get(API + path)) == expected


async def test_a_department_of_an_earlier_pack_is_listed_while_it_has_cases(
    world: World, sign_in: SignIn
) -> None:
    subject = await world.dispatched()
    await world.database.pool.execute("UPDATE assignment SET unit = 'abolished'")
    oversight = sign_in("oversight")
    (item,) = (await oversight.get(f"{API}/cases?unit=abolished")).json()["items"]
    assert item["id"] == subject
    assert (await oversight.get("/desk?unit=abolished")).status_code == 200
    assert (await sign_in("officer", unit="new-here").get(f"{API}/cases")).json()["items"] == []
    missing = await oversight.get("/desk?unit=nope&lang=en", headers={"Accept": "text/html"})
    assert missing.status_code == 404
    assert "Department not found" in missing.text


async def test_a_dispatcher_places_a_case_with_lead_and_co_handlers(world: World, sign_in: SignIn) -> None:
    subject = await triaged(world)
    dispatcher = sign_in("dispatcher")
    queue = (await dispatcher.get(f"{API}/triage")).json()
    assert (queue["total"], queue["items"][0]["id"], queue["items"][0]["reason"]) == (
        1,
        subject,
        "unknown_service",
    )
    body = {"lead": "water", "co": ["telecom"]}
    address = f"{API}/triage/{subject}/dispatch"
    response = await dispatcher.post(address, json=body, headers=key())
    assert (response.status_code, response.json()["state"]) == (200, "offered")
    dispatched = (await world.emitted(about=subject))[-1]
    assert (dispatched.data["by"], dispatched.data["rule"]) == ("dispatcher", "dispatcher")
    assert dispatched.actor == "person:dispatcher-1"
    (offered,) = await world.emitted("water")
    assert offered.data["words"]["text"] == WORDS.text
    assert offered.causationid == dispatched.id
    assert (await dispatcher.get(f"{API}/triage")).json()["total"] == 0
    late = await dispatcher.post(address, json=body, headers=key("k-2"))
    assert problem(late) == (409, "not-now")
    assert late.json()["rule"] == "not_in_triage"


async def test_a_former_holder_gets_a_record_of_the_withdrawal(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched(service_code="municipal-manhole", area="yunxi")
    await world.act("yunxi-urban", subject, "return", reason="not_our_area", text="属邻区")
    dispatcher = sign_in("dispatcher")
    body = {"lead": "qingshi-urban"}
    response = await dispatcher.post(f"{API}/triage/{subject}/dispatch", json=body, headers=key())
    assert response.status_code == 200
    assert (await world.emitted("water"))[-1].data["reason"] == "redispatched"
    assert (await world.types("yunxi-urban"))[-1] == "department.action_result"
    assert (await world.emitted("qingshi-urban"))[0].data["attempt"] == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"lead": "no-such-department"}, "/lead"),
        ({"lead": "water", "co": ["telecom", "nope"]}, "/co/1"),
        ({"lead": "water", "co": ["water"]}, ""),
        ({"lead": "<script>"}, "/lead"),
        ({"lead": "water", "extra": 1}, "/extra"),
        ({"co": []}, "/lead"),
        ({"lead": 7}, "/lead"),
        ({"lead": "water", "co": "telecom"}, "/co"),
    ],
)
async def test_a_placement_that_names_no_such_department_or_is_malformed_changes_nothing(
    world: World, sign_in: SignIn, body: dict[str, Any], pointer: str
) -> None:
    subject = await triaged(world)
    response = await sign_in("dispatcher").post(f"{API}/triage/{subject}/dispatch", json=body, headers=key())
    assert problem(response) == (422, "invalid")
    assert response.json()["errors"][0]["pointer"] == pointer
    assert await world.state(subject) == "triage"
    assert await world.database.pool.fetchval("SELECT count(*) FROM idempotency_key") == 0


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b"{", key(), (400, "not-json")),
        (b'{"outcome": "solved", "text": "\\ud800"}', key(), (400, "not-json")),
        (b'{"outcome": "solved", "text": "a\\u0000b"}', key(), (422, "invalid")),
        (b'{"outcome": "great", "text": "a"}', key(), (422, "invalid")),
        (b'{"outcome": "solved", "text": ""}', key(), (422, "invalid")),
        (b'{"outcome": "solved", "text": 5}', key(), (422, "invalid")),
        (b'{"outcome": "solved", "text": "' + b"x" * 20_001 + b'"}', key(), (422, "invalid")),
        (b'{"outcome": "solved", "text": "' + b"x" * 1_000_000 + b'"}', key(), (413, "too-large")),
        (b'{"outcome": "solved", "text": "a"}', {}, (400, "idempotency-key-needed")),
        (b'{"outcome": "solved", "text": "a"}', key("x" * 256), (400, "idempotency-key-needed")),
    ],
)
async def test_a_reply_that_is_malformed_is_refused_whole(
    world: World, sign_in: SignIn, content: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign")
    response = await sign_in("officer", unit=LEAD).post(
        f"{API}/cases/{subject}/actions/reply",
        content=content,
        headers={"Content-Type": "application/json", **headers},
    )
    assert problem(response) == expected
    assert (await world.types(about=subject))[-1] == "assignment.signed"


async def test_odd_text_reaches_the_record_character_by_character(world: World, sign_in: SignIn) -> None:
    text = "'; DROP TABLE case_file; -- <b>😀</b> \u202eمرحبا\u202c \r\n\t\\u0041"
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign")
    officer = sign_in("officer", unit=LEAD)
    body = {"outcome": "explained", "text": text}
    await officer.post(f"{API}/cases/{subject}/actions/reply", json=body, headers=key())
    row = await world.database.pool.fetchrow("SELECT words FROM outbox ORDER BY id DESC LIMIT 1")
    assert row is not None
    assert httpx.Response(200, content=row["words"]).json()["text"] == text


async def test_lists_page_by_cursor_without_gaps_or_repeats(world: World, sign_in: SignIn) -> None:
    subjects = {await world.dispatched() for _ in range(5)}
    officer = sign_in("officer", unit=LEAD)
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await officer.get(f"{API}/cases", params={"limit": 2, "cursor": cursor})).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert len(seen) == 5
    assert set(seen) == subjects


async def test_a_case_is_found_by_its_number_however_it_is_typed_and_by_its_title(
    world: World, sign_in: SignIn
) -> None:
    subject, other = await world.dispatched(), await world.dispatched()
    officer = sign_in("officer", unit=LEAD)
    number = (await officer.get(f"{API}/cases/{subject}")).json()["number"]

    async def found(text: str) -> set[str]:
        return {
            item["id"] for item in (await officer.get(f"{API}/cases", params={"q": text})).json()["items"]
        }

    for typed in (number, number.lower(), number.replace("-", ""), f" {number.replace('-', ' ')} "):
        assert await found(typed) == {subject}
    assert await found("路灯") == {subject, other}
    assert await found(number[:-1]) == set()


async def test_the_catalogue_explains_itself_and_lists_its_departments(world: World, sign_in: SignIn) -> None:
    anybody = sign_in()
    units = (await anybody.get(f"{API}/units")).json()["items"]
    assert {"code": "telecom", "kafka": False}.items() <= next(
        u for u in units if u["code"] == "telecom"
    ).items()
    placed = (await anybody.get(f"{API}/catalogue/explain?service_code=municipal-manhole&area=yunxi")).json()
    assert (placed["lead"], placed["co"], placed["reason"]) == ("yunxi-urban", ["water"], "matched")
    assert placed["source"]
    unknown = (await anybody.get(f"{API}/catalogue/explain?service_code=nope")).json()
    assert (unknown["lead"], unknown["reason"]) == (None, "unknown_service")


async def test_the_api_describes_itself(sign_in: SignIn) -> None:
    document = (await sign_in().get("/api/routing/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert f"{API}/cases/{{inquiry}}/actions/reply" in document["paths"]
