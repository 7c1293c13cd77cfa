"""A contact's webhook gets each step, signed with a secret that the citizen has."""

from typing import Any

import pytest
from standardwebhooks import Webhook

from shared.contracts.inquiry import ContactStated, InquiryErased, InquiryReceived, InquiryReplied
from shared.contracts.routing import CaseDispatched
from shared.ids import new_id
from shared.kafka.records import RawRecord
from shared.webhooks import webhook_secret
from tests.integration.publisher.conftest import HOME, START, Running

pytestmark = pytest.mark.integration
NUMBER = "20261124-7K3M9Q2XWB-F"
WHSEC = webhook_secret(b"key", "webhook a case")
RECEIVED = InquiryReceived(
    number=NUMBER, kind="help", service_code="x", channel="api", secret_hash="0" * 64, has_contact=True
)
DISPATCHED = CaseDispatched(lead="water", rule="r", attempt=1)
REPLIED = InquiryReplied(unit="water", outcome="solved", cycle=1, on_time=True, evaluate_until=START)


@pytest.fixture
def case(running: Running) -> str:
    return new_id(running.clock.now())


async def stated(running: Running, case: str, **points: str | None) -> RawRecord:
    """The contact, with a webhook unless `points` say otherwise."""
    named = {"webhook": running.hooks.url, "webhook_secret": WHSEC, "language": "en"} | points
    contact = ContactStated.model_validate({"number": NUMBER, "inquiry": case} | named)
    return await running.emit("inquiry", case, contact, source="/services/inquiry/contacts")


async def test_a_receiver_verifies_each_step_and_finds_its_number_and_no_words(
    running: Running, case: str
) -> None:
    await running.consume(
        await running.emit("inquiry", case, RECEIVED),
        await stated(running, case, name="Resident"),
        await running.emit("routing", case, DISPATCHED),
        await running.emit("inquiry", case, REPLIED),
    )
    await running.deliver()
    received_calls = [Webhook(WHSEC).verify(call.body, call.headers) for call in running.hooks.calls]
    assert sorted(each["type"] for each in received_calls) == [
        "case.dispatched",
        "inquiry.received",
        "inquiry.replied",
    ]
    (replied,) = [each for each in received_calls if each["type"] == "inquiry.replied"]
    assert replied == {
        "type": "inquiry.replied",
        "timestamp": "2026-11-24T01:30:00Z",
        "data": {"number": NUMBER, "step": "inquiry.replied", "url": f"{HOME}/track?number={NUMBER}"},
    }
    rows = await running.deliveries()
    assert {call.headers["webhook-id"] for call in running.hooks.calls} == {row["id"] for row in rows}
    events = [(event["name"], event["data"]["lane"]) for event in await running.events(case)]
    assert events == [("push.notice_sent", "webhook")] * 3
    assert running.mail.mails == []


@pytest.mark.parametrize("contact_first", [True, False])
async def test_a_contact_with_both_lanes_gets_each_step_once_on_each(
    running: Running, case: str, contact_first: bool
) -> None:
    records = [await running.emit("inquiry", case, RECEIVED)]
    records.insert(0 if contact_first else 1, await stated(running, case, email="resident@example.org"))
    await running.consume(*records)
    await running.consume(*records)
    await running.deliver()
    assert len(running.mail.mails) == len(running.hooks.calls) == 1
    assert {row["lane"] for row in await running.deliveries()} == {"email", "webhook"}


@pytest.mark.parametrize("contact_first", [True, False])
async def test_nothing_waits_on_a_lane_that_the_contact_does_not_name(
    running: Running, case: str, contact_first: bool
) -> None:
    records = [await running.emit("inquiry", case, RECEIVED), await stated(running, case)]
    await running.consume(*(records[::-1] if contact_first else records))
    assert [(row["lane"], row["state"]) for row in await running.deliveries()] == [("webhook", "pending")]


@pytest.mark.parametrize(
    "points",
    [
        {"webhook": "ftp://example.org/in"},
        {"webhook": "https://user:password@example.org/"},
        {"webhook": None},
        {"webhook_secret": None},
    ],
)
async def test_an_unusable_webhook_is_not_stored(
    running: Running, case: str, points: dict[str, str | None]
) -> None:
    await running.consume(
        await running.emit("inquiry", case, RECEIVED), await stated(running, case, **points)
    )
    assert await running.database.pool.fetchval("SELECT webhook FROM contact") is None
    assert await running.deliveries() == []


async def test_an_endpoint_that_fails_is_tried_again_under_the_same_id(running: Running, case: str) -> None:
    await running.consume(await running.emit("inquiry", case, RECEIVED), await stated(running, case))
    running.hooks.answers += [(500, {})] * 8
    for _ in range(10):
        await running.due_now()
        await running.deliver()
    assert len(running.hooks.calls) == 8
    assert len({call.headers["webhook-id"] for call in running.hooks.calls}) == 1
    assert len({call.body for call in running.hooks.calls}) == 1
    (failed,) = await running.events(case)
    assert (failed["name"], failed["data"]["reason"]) == ("push.notice_failed", "http_500")


async def test_an_endpoint_that_answers_410_is_forgotten_and_the_mail_goes_on(
    running: Running, case: str
) -> None:
    await running.consume(
        await running.emit("inquiry", case, RECEIVED),
        await stated(running, case, email="resident@example.org"),
    )
    running.hooks.answers.append((410, {}))
    await running.deliver()
    await running.consume(await running.emit("routing", case, DISPATCHED))
    await running.deliver()
    assert len(running.hooks.calls) == 1
    assert len(running.mail.mails) == 2
    row = await running.database.pool.fetchrow("SELECT * FROM contact")
    assert (row["webhook"], row["webhook_key"]) == (None, None)


async def test_a_large_push_does_not_delay_a_notice_by_webhook(running: Running, case: str) -> None:
    asked = {"lane": "webhook", "url": running.hooks.url}
    assert (await running.post("/api/publisher/v1/subscriptions", asked)).status_code == 201
    await running.publish()
    await running.pass_time()
    await running.consume(await running.emit("inquiry", case, RECEIVED), await stated(running, case))
    notices = await running.ledger.claim("webhook", bulk=False, limit=10)
    assert [delivery.kind for delivery in notices] == ["notice"]


async def test_url_and_secret_are_sealed_and_go_with_the_erasure(running: Running, case: str) -> None:
    contact = await stated(running, case)
    await running.consume(await running.emit("inquiry", case, RECEIVED), contact)
    row: Any = await running.database.pool.fetchrow("SELECT * FROM contact")
    assert running.hooks.url.encode() not in row["webhook"]
    assert WHSEC.encode() not in row["webhook"]
    await running.consume(
        await running.emit("inquiry", case, InquiryErased(basis="citizen_request")),
        await running.emit("routing", case, DISPATCHED),
    )
    await running.deliver()
    assert running.hooks.calls == []
    row = await running.database.pool.fetchrow("SELECT * FROM contact")
    assert (row["webhook"], row["webhook_key"]) == (None, None)
