"""Intake over the API: the answers, the rows, and bad input, which leaves nothing behind."""

import asyncio
import datetime as dt
import json
import re
from dataclasses import replace
from typing import Any

import orjson
import pytest

from services.inquiry.domain.concern import Concern
from services.inquiry.intake import Intake, IntakeResult
from shared import sql
from shared.contracts.inquiry import InquiryWords
from shared.ids import read_case_number, secret_hash
from shared.packs import Packs
from tests.integration.inquiry.conftest import API, CONCERN, START, Running

KEY = b"k" * 32

TABLES = ("inquiry", "received", "step", "contact", "outbox", "timer", "idempotency_key", "aggregate")


async def counts(running: Running) -> dict[str, int]:
    return {table: await running.database.pool.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_a_concern_is_answered_with_number_secret_deadline_and_receipt(running: Running) -> None:
    taken = await running.take_in()
    assert read_case_number(taken["number"]) == taken["number"]
    assert taken["number"].startswith("20261124-")
    assert re.fullmatch(r"(?:[0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", taken["secret"])
    assert taken["sequence"] == 1
    assert taken["state"] == "accepted"
    # help: 3 working days after Tuesday is Friday; duty ends at 17:30
    assert taken["deadline"]["due"] == "2026-11-27T09:30:00Z"
    event = json.loads(taken["receipt"]["value"])
    assert event["id"] == taken["receipt"]["event_id"]
    assert event["data"]["number"] == taken["number"]
    assert event["data"]["secret_hash"] == secret_hash(taken["secret"])
    assert "路灯" not in taken["receipt"]["value"]


async def test_one_event_is_committed_byte_for_byte_as_the_receipt(running: Running) -> None:
    taken = await running.take_in()
    rows = await running.database.pool.fetch("SELECT topic, value FROM outbox WHERE key = $1", taken["id"])
    assert [(row["topic"], row["value"].decode()) for row in rows] == [
        ("civic.inquiry.v1", taken["receipt"]["value"])
    ]
    answer = await running.client.get(
        f"{API}/{taken['number']}/receipt", headers={"X-Case-Secret": taken["secret"]}
    )
    assert answer.content == rows[0]["value"]


async def test_the_explanation_of_the_deadline_recomputes_it(running: Running) -> None:
    taken = await running.take_in()
    explained = (await running.client.get(taken["deadline"]["explanation"])).json()
    assert explained["due"] == taken["deadline"]["due"]
    assert [step["code"] for step in explained["steps"]] == ["received", "day_zero", "counted", "due"]


async def test_the_secret_is_stored_nowhere(running: Running) -> None:
    taken = await running.take_in(contact={"email": "wang@example.cn"})
    plain = taken["secret"].replace("-", "")
    for table in TABLES:
        for row in await running.database.pool.fetch(f"SELECT t::text AS whole FROM {table} t"):
            assert taken["secret"] not in row["whole"]
            assert plain not in row["whole"]


async def test_a_contact_goes_to_its_own_topic_and_not_into_the_event(running: Running) -> None:
    taken = await running.take_in(contact={"name": "王芳", "email": "wang@example.cn", "language": "zh"})
    rows = await running.database.pool.fetch(
        "SELECT topic, value FROM outbox WHERE key = $1 ORDER BY id", taken["id"]
    )
    assert [row["topic"] for row in rows] == ["civic.inquiry.v1", "civic.contact.v1"]
    received, stated = (orjson.loads(row["value"]) for row in rows)
    assert received["data"]["has_contact"] is True
    assert b"wang@example.cn" not in rows[0]["value"]
    assert stated["data"]["email"] == "wang@example.cn"
    assert stated["source"] == "/services/inquiry/contacts"
    assert stated["sequence"] == "0000000001"


async def test_a_webhook_is_passed_on_with_a_secret_that_only_the_answer_shows(running: Running) -> None:
    url = "https://example.org/in?x=1"
    concern = CONCERN | {"contact": {"webhook": url}}
    first = await running.post(API, concern, key="hooked-by-a-stranger")
    assert first.status_code == 201, first.text
    taken = first.json()
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", taken["webhook_secret"])
    assert (await running.post(API, concern, key="hooked-by-a-stranger")).json() == taken
    rows = await running.database.pool.fetch(
        "SELECT topic, value, words FROM outbox WHERE key = $1 ORDER BY id", taken["id"]
    )
    received, stated = (orjson.loads(row["value"]) for row in rows)
    assert received["data"]["has_contact"] is True
    assert [row["topic"] for row in rows] == ["civic.inquiry.v1", "civic.contact.v1"]
    assert (stated["data"]["webhook"], stated["data"]["webhook_secret"]) == (url, taken["webhook_secret"])
    for part in (rows[0]["value"], rows[0]["words"]):
        assert b"example.org" not in part
    for table in set(TABLES) - {"outbox"}:
        for row in await running.database.pool.fetch(f"SELECT t::text AS whole FROM {table} t"):
            assert "whsec_" not in row["whole"]
            assert url not in row["whole"]


async def test_each_case_has_a_webhook_secret_of_its_own_and_others_have_none(running: Running) -> None:
    contact = {"webhook": "https://example.org/in", "email": "wang@example.cn"}
    secrets = {(await running.take_in(contact=contact))["webhook_secret"] for _ in range(2)}
    assert len(secrets) == 2
    assert "webhook_secret" not in await running.take_in(contact={"email": "wang@example.cn"})


@pytest.mark.parametrize("url", ["http://example.org/", "https://u:p@example.org/", "https://", "data:1"])
async def test_an_invalid_webhook_is_refused_with_its_pointer(running: Running, url: str) -> None:
    answer = await running.post(API, CONCERN | {"contact": {"webhook": url}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/contact/webhook"


async def test_a_kind_that_a_clerk_accepts_gets_no_deadline_yet(running: Running) -> None:
    taken = await running.take_in(kind="report")
    assert taken["state"] == "received"
    assert taken["deadline"] is None
    timers = await running.database.pool.fetchval(
        "SELECT count(*) FROM timer WHERE aggregate = $1", taken["id"]
    )
    assert timers == 0


async def test_a_second_request_with_the_same_key_answers_the_same(running: Running) -> None:
    first = await running.post(API, CONCERN, key="the same key twice")
    before = await counts(running)
    second = await running.post(API, CONCERN, key="the same key twice")
    assert second.status_code == 201
    assert second.json() == first.json()
    assert await counts(running) == before


async def test_the_same_key_with_another_body_is_refused(running: Running) -> None:
    await running.post(API, CONCERN, key="one key, two bodies")
    before = await counts(running)
    second = await running.post(API, CONCERN | {"title": "另一件事"}, key="one key, two bodies")
    assert second.status_code == 409
    assert second.json()["type"].endswith(":key-reused")
    assert await counts(running) == before


async def test_two_at_a_time_with_one_key_become_one_case(running: Running) -> None:
    before = (await counts(running))["inquiry"]
    answers = await asyncio.gather(
        *(running.post(API, CONCERN, key="four of them at once") for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await counts(running))["inquiry"] == before + 1


async def test_a_write_without_a_key_is_refused(running: Running) -> None:
    answer = await running.client.post(API, json=CONCERN)
    assert answer.status_code == 400
    assert answer.json()["type"].endswith(":idempotency-key-needed")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"title": 7}, "/title"),
        ({"title": ""}, "/title"),
        ({"title": "  \n"}, "/title"),
        ({"title": "长" * 201}, "/title"),
        ({"text": "a" * 20_001}, "/text"),
        ({"text": "a\x00b"}, "/text"),
        ({"kind": "gossip"}, "/kind"),
        ({"service_code": "no-such-service"}, "/service_code"),
        ({"service_code": None}, "/service_code"),
        ({"area": "atlantis"}, "/area"),
        ({"visibility": "friends"}, "/visibility"),
        ({"latitude": 91, "longitude": 0}, "/latitude"),
        ({"latitude": 31.2}, ""),
        ({"contact": {"email": "not an address"}}, "/contact/email"),
        ({"contact": {"phone": "javascript:1"}}, "/contact/phone"),
        ({"contact": []}, "/contact"),
        ({"urgent": "perhaps"}, "/urgent"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_a_bad_member_is_named_and_nothing_is_stored(
    running: Running, changes: dict[str, Any], pointer: str
) -> None:
    before = await counts(running)
    answer = await running.post(API, CONCERN | changes)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await counts(running) == before


async def test_an_anonymous_caller_needs_a_key_that_is_hard_to_guess(running: Running) -> None:
    before = await counts(running)
    refused = await running.post(API, CONCERN, key="0123456789abcde")
    assert refused.status_code == 400
    assert refused.json()["type"].endswith(":idempotency-key-needed")
    assert "16 to 255" in refused.json()["detail"]
    assert await counts(running) == before
    assert (await running.post(API, CONCERN, key="0123456789abcdef")).status_code == 201
    running.sign_in("clerk")
    assert (await running.post(API, CONCERN, key="1")).status_code == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"title": "\\ud800"}', 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"text": "' + b"a" * 1_000_000 + b'"}', 413),
    ],
)
async def test_a_malformed_body_is_refused_and_nothing_is_stored(
    running: Running, body: bytes, status: int
) -> None:
    before = await counts(running)
    answer = await running.client.post(
        API, content=body, headers={"Idempotency-Key": "0123456789abcdef", "Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert await counts(running) == before


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE inquiry; --",
        "<script>alert(1)</script>",
        "😀 مرحبا بالعالم \u202e olleh",
        "NBSP\u00a0ZWSP\u200b\r\nline\ttab",
        "龘" * 19_999 + "。",
        "{{ 7 * 7 }} {% raw %}",
    ],
)
async def test_odd_text_survives_to_the_event_and_the_reader(running: Running, text: str) -> None:
    taken = await running.take_in(text=text)
    assert (await running.case(taken))["words"]["text"] == text
    assert (await running.events(taken["id"]))[0]["words"]["text"] == text


async def test_the_error_of_an_unknown_service_says_where_the_codes_are(running: Running) -> None:
    answer = await running.post(API, CONCERN | {"service_code": "<b>x</b>"})
    error = answer.json()["errors"][0]
    assert error["code"] == "unknown_service"
    assert "/api/inquiry/v1/services" in error["detail"]
    assert "<b>" not in answer.text
    codes = {
        row["service_code"]
        for row in (await running.client.get("/api/inquiry/v1/services")).json()["services"]
    }
    assert CONCERN["service_code"] in codes


async def test_a_failure_inside_the_transaction_leaves_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = "SELECT 1/0 FROM unnest($1::text[], $2::bytea[], $3::bytea[])"
    monkeypatch.setitem(sql.load("services.inquiry"), "insert_receipts", fails)
    before = await counts(running)
    answer = await running.post(API, CONCERN)
    assert answer.status_code == 500
    assert await counts(running) == before


def imported(number: int, **changes: Any) -> Concern:
    words = InquiryWords(title=f"row {number}", text="text")
    concern = Concern(words, "help", "municipal-street-light", "import", notify=False)
    return replace(concern, external_source="old system", **{"external_id": f"row-{number}"} | changes)


async def take_in(running: Running, concerns: list[Concern]) -> list[IntakeResult]:
    intake = Intake(await Packs.open(running.database, running.database.settings), KEY)
    async with running.database.transaction() as tx:
        return await intake.take_in(tx, concerns)


async def test_hundreds_are_taken_in_one_transaction_each_with_its_event_and_its_timer(
    running: Running,
) -> None:
    before = await counts(running)
    taken = await take_in(running, [imported(n, external_id=None) for n in range(300)])
    assert len({one.number for one in taken}) == 300
    after = await counts(running)
    for table in ("inquiry", "received", "outbox", "timer", "aggregate"):
        assert after[table] == before[table] + 300
    case = await running.database.pool.fetchrow("SELECT * FROM inquiry WHERE id = $1", taken[7].id)
    assert orjson.loads(taken[7].value)["data"]["number"] == case["number"]


async def test_a_row_of_an_import_is_taken_once_however_often_it_comes(running: Running) -> None:
    original = dt.datetime(2019, 1, 7, 1, 5, 1, tzinfo=dt.UTC)
    rows = [imported(n, original_time=original) for n in (1, 2, 1)]
    first = await take_in(running, rows)
    assert [one.is_new for one in first] == [True, True, False]
    assert first[2].id == first[0].id
    again = await take_in(running, [*rows, imported(3)])
    assert [one.is_new for one in again] == [False, False, False, True]
    assert [one.value for one in again[:2]] == [one.value for one in first[:2]]
    event = orjson.loads(first[0].value)
    assert event["data"]["original_time"] == "2019-01-07T01:05:01Z"
    assert event["effectivetime"] == START.isoformat().replace("+00:00", "Z")
    assert event["data"]["notify"] is False


async def test_the_interface_describes_itself(running: Running) -> None:
    document = (await running.client.get("/api/inquiry/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    operation = document["paths"][API]["post"]
    assert "requestBody" in operation
