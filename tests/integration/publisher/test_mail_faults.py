"""Mail faults: a recipient's ends a mail or a subscription, one of ours ends nothing."""

from typing import Any

import pytest

from services.publisher.domain.delivery_results import RETRIES
from services.publisher.push.errors import LaneDown
from services.publisher.push.mail import MailServer
from services.publisher.push.workers import MailWorker
from shared.clock import machine_now
from tests.integration.publisher.conftest import Running

pytestmark = pytest.mark.integration


async def push_deliveries(running: Running) -> list[dict[str, Any]]:
    return [each for each in await running.deliveries() if each["kind"] == "publication"]


def bulk_worker(running: Running) -> MailWorker:
    server = MailServer(running.mail.url, "noreply@city.example")
    return MailWorker(running.ledger, running.renderer, server, bulk=True)


async def test_a_mailbox_that_is_busy_is_tried_again_later_under_the_same_id(running: Running) -> None:
    await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    running.mail.refusals.append("450 4.2.1 busy")
    before = machine_now()
    await running.deliver()
    (row,) = await push_deliveries(running)
    assert (row["state"], row["attempts"], row["error"]) == ("pending", 1, "smtp_450")
    assert before + RETRIES[0] * 0.8 <= row["due_at"] <= machine_now() + RETRIES[0] * 1.2
    await running.deliver()
    assert running.mail.mails == []
    await running.due_now()
    await running.deliver()
    assert running.mail.ids() == [f"<{row['id']}@127.0.0.1>"]


async def test_a_mailbox_that_does_not_exist_ends_the_subscription(running: Running) -> None:
    subscription = await running.subscribed("gone@example.org")
    publication = await running.publish()
    await running.pass_time()
    running.mail.refusals.append("550 5.1.1 no such user")
    await running.deliver()
    closed = (await running.events(publication))[-1]
    assert closed["data"]["failed"] == 1
    assert (await running.events(subscription))[-1]["data"] == {"lane": "email", "reason": "gone"}
    kept = await running.database.pool.fetchrow("SELECT * FROM subscription WHERE id = $1", subscription)
    assert kept["address"] is None
    assert kept["wrapped_key"] is None


async def test_a_mail_that_the_server_refuses_is_given_up_without_ending_the_subscription(
    running: Running,
) -> None:
    subscription = await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    running.mail.data_refusals.append("554 5.6.0 content refused")
    await running.deliver()
    assert (await running.names(subscription)) == ["subscription.confirmed"]
    (row,) = await push_deliveries(running)
    assert (row["state"], row["error"]) == ("failed", "smtp_554")


async def test_while_the_mail_server_is_away_nothing_counts_as_an_attempt(running: Running) -> None:
    await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    worker = MailWorker(
        running.ledger, running.renderer, MailServer("smtp://127.0.0.1:1", "n@city.example"), bulk=True
    )
    for _ in range(20):
        with pytest.raises(LaneDown):
            await worker.once()
    (row,) = await push_deliveries(running)
    assert (row["state"], row["attempts"]) == ("pending", 0)
    await running.deliver()
    assert len(running.mail.mails) == 1


async def test_a_relay_that_does_not_know_us_ends_no_subscription_and_costs_no_attempt(
    running: Running,
) -> None:
    subscriptions = [await running.subscribed(f"{name}@example.org") for name in ("one", "two")]
    await running.publish()
    await running.pass_time()
    running.mail.blocked = "554 5.7.1 Relay access denied"
    worker = bulk_worker(running)
    for _ in range(10):
        with pytest.raises(LaneDown):
            await worker.once()
    assert {(row["state"], row["attempts"]) for row in await push_deliveries(running)} == {("pending", 0)}
    running.mail.blocked = None
    await running.deliver()
    assert len(running.mail.mails) == 2
    for each in subscriptions:
        assert await running.names(each) == ["subscription.confirmed"]


async def test_a_sender_that_is_refused_costs_no_attempt_and_is_seen(running: Running) -> None:
    subscription = await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    running.mail.sender_blocked = "550 5.7.1 you are not noreply"
    server = MailServer(running.mail.url, "noreply@city.example")
    worker = MailWorker(running.ledger, running.renderer, server, bulk=True)
    for _ in range(10):
        with pytest.raises(LaneDown):
            await worker.once()
    assert server.away
    assert [(row["state"], row["attempts"]) for row in await push_deliveries(running)] == [("pending", 0)]
    running.mail.sender_blocked = None
    assert await worker.once() == 1
    assert not server.away
    assert await running.names(subscription) == ["subscription.confirmed"]


async def test_one_recipient_blocked_by_policy_delays_no_other(running: Running) -> None:
    blocked, _ = [await running.subscribed(f"{name}@example.org") for name in ("one", "two")]
    await running.publish()
    await running.pass_time()
    running.mail.blocked, running.mail.blocked_for = "550 5.7.1 blocked", "one@example.org"
    await running.deliver()
    assert [mail["To"] for mail in running.mail.mails] == ["two@example.org"]
    rows = {row["recipient"] == blocked: row for row in await push_deliveries(running)}
    assert (rows[True]["state"], rows[True]["attempts"]) == ("pending", 1)
    assert rows[False]["state"] == "sent"


async def test_one_recipient_blocked_alone_does_not_make_the_lane_look_down(running: Running) -> None:
    """Readiness would flap with each of its attempts, for as long as the recipient stays blocked."""
    await running.subscribed("two@example.org")
    server = MailServer(running.mail.url, "noreply@city.example")
    worker = MailWorker(running.ledger, running.renderer, server, bulk=True)
    await running.publish()
    await running.pass_time()
    assert await worker.once() == 1
    blocked = await running.subscribed("one@example.org")
    running.mail.blocked, running.mail.blocked_for = "550 5.7.1 blocked", "one@example.org"
    await running.publish()
    await running.pass_time()
    await running.database.pool.execute("DELETE FROM delivery WHERE recipient <> $1", blocked)
    assert await worker.once() == 1
    assert not server.away
    (row,) = await push_deliveries(running)
    assert (row["state"], row["attempts"]) == ("pending", 1)


async def test_a_refusal_that_does_not_name_the_mailbox_fails_one_mail_alone(running: Running) -> None:
    subscription = await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    running.mail.refusals.append("550 relay not permitted")
    await running.deliver()
    assert [(row["state"], row["error"]) for row in await push_deliveries(running)] == [
        ("failed", "smtp_550")
    ]
    assert await running.names(subscription) == ["subscription.confirmed"]


async def test_a_mailbox_that_is_busy_for_days_ends_nothing(running: Running) -> None:
    subscription = await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    running.mail.refusals += ["452 4.2.2 full"] * 8
    for _ in range(8):
        await running.due_now()
        await running.deliver()
    assert [(row["state"], row["attempts"]) for row in await push_deliveries(running)] == [("failed", 8)]
    assert await running.names(subscription) == ["subscription.confirmed"]


async def test_a_delivery_that_can_never_be_rendered_ends_nothing(running: Running) -> None:
    subscription = await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    await running.database.pool.execute(
        "UPDATE subscription SET wrapped_key = decode(repeat('00', 60), 'hex')"
    )
    for _ in range(8):
        await running.due_now()
        await running.deliver()
    assert [(row["state"], row["error"]) for row in await push_deliveries(running)] == [
        ("failed", "InvalidTag")
    ]
    assert await running.names(subscription) == ["subscription.confirmed"]
