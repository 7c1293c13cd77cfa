"""The citizen gets a notice of each step of the case, whichever topic is read first."""

import asyncio
import datetime as dt

import pytest

from deploy.local.ports import free_port
from services.publisher.app import build
from services.publisher.config import PublisherSettings
from shared.contracts.inquiry import ContactStated, InquiryErased, InquiryReceived, InquiryReplied
from shared.contracts.routing import AssignmentSigned, CaseDispatched
from shared.ids import new_id
from shared.kafka.records import RawRecord
from shared.service import Loop
from tests.integration.publisher.conftest import START, Running

pytestmark = pytest.mark.integration
NUMBER = "20261124-7K3M9Q2XWB-F"


def received(*, has_contact: bool = True, notify: bool = True) -> InquiryReceived:
    return InquiryReceived(
        number=NUMBER,
        kind="help",
        service_code="x",
        channel="web",
        secret_hash="0" * 64,
        has_contact=has_contact,
        notify=notify,
    )


def contact(case: str, email: str | None = "resident@example.org", language: str = "en") -> ContactStated:
    return ContactStated.model_validate(
        {"name": "Resident", "email": email, "language": language, "number": NUMBER, "inquiry": case}
    )


DISPATCHED = CaseDispatched(lead="water", rule="r", attempt=1)
SIGNED = AssignmentSigned(unit="water", role="lead", action="a")
REPLIED = InquiryReplied(unit="water", outcome="solved", cycle=1, on_time=True, evaluate_until=START)


async def mail_lane(running: Running) -> list[str]:
    """What `/readyz` reports as degraded; the service is still ready."""
    answer = await running.client.get("/readyz")
    assert answer.status_code == 200
    degraded: list[str] = answer.json().get("degraded", [])
    return degraded


@pytest.fixture
def case(running: Running) -> str:
    return new_id(running.clock.now())


async def contact_stated(
    running: Running, case: str, email: str | None = "resident@example.org"
) -> RawRecord:
    return await running.emit("inquiry", case, contact(case, email), source="/services/inquiry/contacts")


def steps(running: Running) -> list[str]:
    return sorted(mail["Subject"].partition(": ")[2] for mail in running.mail.mails)


async def test_each_step_is_mailed_with_the_number_and_never_the_text(running: Running, case: str) -> None:
    await running.consume(
        await running.emit("inquiry", case, received()),
        await contact_stated(running, case),
        await running.emit("routing", case, DISPATCHED),
        await running.emit("routing", case, SIGNED),
        await running.emit("inquiry", case, REPLIED),
    )
    await running.deliver()
    assert steps(running) == [
        "accepted by the department",
        "assigned to the department in charge",
        "we have received your report",
        "you have an answer",
    ]
    for mail in running.mail.mails:
        assert mail["To"] == "resident@example.org"
        assert NUMBER in mail.get_content()
        assert "Resident" not in mail.as_string()
    assert await running.names(case) == ["push.notice_sent"] * 4
    sent = (await running.events(case))[0]
    assert sent["data"]["lane"] == "email"
    assert sent["data"]["attempts"] == 1
    assert sent["correlationid"] == case


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
async def test_the_parts_may_come_in_any_order_and_every_step_is_sent_once(
    running: Running, case: str, order: tuple[int, ...]
) -> None:
    records = [
        await running.emit("inquiry", case, received()),
        await contact_stated(running, case),
        await running.emit("routing", case, DISPATCHED),
    ]
    for index in order:
        await running.deliver()
        await running.consume(records[index])
    await running.consume(*records)  # delivered twice by the broker
    await running.deliver()
    assert steps(running) == ["assigned to the department in charge", "we have received your report"]
    assert await running.database.pool.fetchval("SELECT count(*) FROM early_step") == 0


async def test_a_case_without_contact_leaves_no_row(running: Running, case: str) -> None:
    dispatched, signed = (facts.model_copy(update={"notify": False}) for facts in (DISPATCHED, SIGNED))
    early = await running.emit("routing", case, dispatched)
    await running.consume(early, await running.emit("inquiry", case, received(has_contact=False)))
    await running.consume(await running.emit("routing", case, signed))
    for table in ("contact", "delivery", "early_step", "outbox", "aggregate"):
        assert await running.database.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    await running.consume(await running.emit("inquiry", case, REPLIED))
    for table in ("contact", "delivery", "early_step", "outbox"):
        assert await running.database.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table


@pytest.mark.parametrize("contact_first", [True, False])
async def test_an_imported_case_gets_no_notice_and_its_address_is_not_kept(
    running: Running, case: str, contact_first: bool
) -> None:
    records = [
        await contact_stated(running, case),
        await running.emit("inquiry", case, received(notify=False)),
    ]
    await running.consume(*(records if contact_first else records[::-1]))
    await running.consume(await running.emit("routing", case, DISPATCHED))
    await running.deliver()
    assert running.mail.mails == []
    assert await running.database.pool.fetchval("SELECT address FROM contact") is None


@pytest.mark.parametrize("email", [None, "", "not an address", "a@example.org\nBcc: b@example.org"])
async def test_a_contact_without_usable_address_ends_the_waiting(
    running: Running, case: str, email: str | None
) -> None:
    await running.consume(await running.emit("inquiry", case, received()))
    await running.consume(await contact_stated(running, case, email))
    await running.consume(await running.emit("routing", case, DISPATCHED))
    assert await running.deliveries() == []


async def test_an_erased_case_loses_its_address_and_its_open_notices(running: Running, case: str) -> None:
    await running.consume(
        await running.emit("inquiry", case, received()),
        await contact_stated(running, case),
        await running.emit("inquiry", case, InquiryErased(basis="citizen_request")),
    )
    await running.consume(await running.emit("routing", case, DISPATCHED))
    await running.deliver()
    assert running.mail.mails == []
    row = await running.database.pool.fetchrow("SELECT * FROM contact")
    assert (row["erased"], row["address"], row["wrapped_key"], row["number"]) == (True, None, None, None)


async def test_a_contact_that_comes_after_the_erasure_is_not_kept(running: Running, case: str) -> None:
    stated = await contact_stated(running, case)
    await running.consume(
        await running.emit("inquiry", case, received()),
        await running.emit("inquiry", case, InquiryErased(basis="citizen_request")),
        stated,
    )
    assert await running.database.pool.fetchval("SELECT address FROM contact") is None


async def test_a_notice_that_cannot_be_delivered_is_an_event(running: Running, case: str) -> None:
    await running.consume(
        await running.emit("inquiry", case, received()), await contact_stated(running, case)
    )
    running.mail.refusals.append("550 no such user")
    await running.deliver()
    (event,) = await running.events(case)
    assert event["name"] == "push.notice_failed"
    assert event["data"]["reason"] == "smtp_550"
    assert event["data"]["step"] == "inquiry.received"


async def test_a_large_push_does_not_delay_a_notice(running: Running, case: str) -> None:
    await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    await running.consume(
        await running.emit("inquiry", case, received()), await contact_stated(running, case)
    )
    notices = await running.ledger.claim("email", bulk=False, limit=10)
    assert [delivery.kind for delivery in notices] == ["notice"]


async def test_the_address_is_sealed_under_a_key_of_its_own(running: Running, case: str) -> None:
    await running.consume(await contact_stated(running, case))
    other = new_id(running.clock.now() + dt.timedelta(seconds=1))
    await running.consume(await contact_stated(running, other))
    rows = await running.database.pool.fetch("SELECT * FROM contact")
    assert all(b"resident" not in row["address"] for row in rows)
    assert rows[0]["wrapped_key"] != rows[1]["wrapped_key"]


async def test_without_a_mail_server_a_notice_waits_and_readiness_names_the_lane(
    running: Running, case: str
) -> None:
    await running.consume(
        await running.emit("inquiry", case, received()), await contact_stated(running, case)
    )
    assert await mail_lane(running) == ["publisher email: SMTP_URL is not set, so mails wait"]
    assert len(running.parts.loops) == 2  # webhooks: nobody takes mails from the ledger
    (row,) = await running.deliveries()
    assert (row["state"], row["attempts"]) == ("pending", 0)
    await running.deliver()
    assert steps(running) == ["we have received your report"]


async def test_a_mail_server_that_is_away_is_named_until_it_answers(
    running: Running, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{free_port()}")
    parts = await build(running.database, PublisherSettings.for_service("publisher"))
    assert await parts.degraded() == {}
    await running.consume(
        await running.emit("inquiry", case, received()), await contact_stated(running, case)
    )
    loops = [asyncio.create_task(as_coroutine(loop)) for loop in parts.loops]
    try:
        async with asyncio.timeout(10):
            while not (waiting := await parts.degraded()):
                await asyncio.sleep(0.02)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    assert waiting == {"email": "the mail server does not answer or does not take our mails, so they wait"}
    (row,) = await running.deliveries()
    assert row["state"] == "pending"


async def as_coroutine(loop: Loop) -> None:
    await loop()
