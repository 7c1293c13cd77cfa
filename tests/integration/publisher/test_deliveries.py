"""Pushes over the lanes: nothing twice, nothing lost, and the same id after an unknown result."""

import asyncio
import datetime as dt
import hashlib

import pytest
from standardwebhooks import Webhook

from harness.schema import SECRET
from services.publisher.commands import subscriptions
from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.domain.delivery_results import GiveUp, TryAgain
from services.publisher.domain.subscriptions import SubscriptionRequest
from services.publisher.push.batches import ledger_leaf
from services.publisher.push.guard import Guard
from services.publisher.push.ledger import LEASE, Attempt
from services.publisher.push.mail import ATTEMPT_SECONDS as MAIL_SECONDS
from services.publisher.push.mail import MailServer
from services.publisher.push.rendering import RenderedWebhook
from services.publisher.push.webhooks import ATTEMPT_SECONDS as CALL_SECONDS
from services.publisher.push.webhooks import Webhooks
from services.publisher.push.workers import MailWorker, WebhookWorker
from shared.clock import machine_now
from shared.ids import new_id
from shared.merkle import MerkleAccumulator, leaf_hash
from tests.integration.publisher.conftest import TEXT, Running

pytestmark = pytest.mark.integration
SIGNED_WITH = ("whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=",)
SUBSCRIPTIONS = "/api/publisher/v1/subscriptions"


async def subscribe_webhook(running: Running, *topics: str) -> dict[str, str]:
    answer = await running.post(
        SUBSCRIPTIONS, {"lane": "webhook", "url": running.hooks.url, "topics": topics}
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, str] = answer.json()
    return found


async def push_events(running: Running, publication: str) -> list[dict[str, object]]:
    return [event for event in await running.events(publication) if event["name"].startswith("push.")]


async def test_a_publication_reaches_its_subscribers_by_both_lanes_once(running: Running) -> None:
    await running.subscribed("one@example.org")
    await running.subscribed("two@example.org", "water-energy")
    await running.subscribed("three@example.org", "housing")
    hook = await subscribe_webhook(running)
    publication = await running.publish()
    await running.pass_time()
    await running.deliver()
    await running.due_now()
    await running.deliver()
    assert sorted(mail["To"] for mail in running.mail.mails) == ["one@example.org", "two@example.org"]
    assert TEXT["title"] in running.mail.mails[0].get_content()
    (call,) = running.hooks.calls
    verified = Webhook(hook["secret"]).verify(call.body, call.headers)
    assert verified["type"] == "publication.published"
    assert verified["data"]["title"] == TEXT["title"]
    rows = [row for row in await running.deliveries() if row["kind"] == "publication"]
    assert call.headers["webhook-id"] in {row["id"] for row in rows}
    started, closed = await push_events(running, publication)
    assert started["data"] == {"version": 1, "recipients": {"email": 2, "webhook": 1}}
    tree = MerkleAccumulator()
    for row in rows:
        tree.append(leaf_hash(ledger_leaf(row["id"], row["lane"], row["state"], row["attempts"])))
    assert closed["data"] == {"version": 1, "sent": 3, "failed": 0, "ledger_root": tree.root().hex()}


async def test_a_push_to_nobody_begins_and_closes_with_the_root_of_nothing(running: Running) -> None:
    publication = await running.publish()
    await running.pass_time()
    _, closed = await push_events(running, publication)
    assert closed["data"]["ledger_root"] == hashlib.sha256(b"").hexdigest()  # type: ignore[index]


async def test_after_a_crash_between_sending_and_recording_the_same_message_id_goes_out_again(
    running: Running,
) -> None:
    await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    claimed = await running.ledger.claim("email", bulk=True, limit=10)
    ((delivery, content),) = await running.renderer.render(claimed)
    async with MailServer(running.mail.url, "noreply@city.example").session() as session:
        await session.send(content)  # type: ignore[arg-type]
    # Here the worker dies: its row stays `sending`, and while the lease runs nobody sends it again.
    await running.deliver()
    assert len(running.mail.mails) == 1
    await running.due_now()
    await running.deliver()
    assert running.mail.ids() == [f"<{delivery.id}@127.0.0.1>"] * 2
    (row,) = [each for each in await running.deliveries() if each["kind"] == "publication"]
    assert (row["state"], row["attempts"]) == ("sent", 2)


async def test_a_worker_that_lost_its_lease_writes_no_result(running: Running) -> None:
    await running.subscribed("one@example.org")
    publication = await running.publish()
    await running.pass_time()
    late = await running.ledger.claim("email", bulk=True, limit=10)
    await running.due_now()
    await running.deliver()
    await running.ledger.record([Attempt(each, GiveUp("late", gone=True)) for each in late])
    (row,) = [each for each in await running.deliveries() if each["kind"] == "publication"]
    assert row["state"] == "sent"
    assert len(await push_events(running, publication)) == 2


async def many_subscribers(running: Running, count: int) -> None:
    secrets = DerivedSecrets(SECRET)
    for number in range(count):
        subscription = new_id(running.clock.now())
        request = SubscriptionRequest("email", f"r{number}@example.org", (), "en")
        async with running.database.transaction(new=[subscription]) as tx:
            await subscriptions.ask(tx, subscription, request, secrets)
        assert await subscriptions.confirm(running.database, subscription)
    await running.database.pool.execute("TRUNCATE delivery")


async def test_two_workers_at_once_send_each_mail_once(running: Running) -> None:
    await many_subscribers(running, 30)
    await running.publish()
    await running.pass_time()
    server = MailServer(running.mail.url, "noreply@city.example")
    workers = [MailWorker(running.ledger, running.renderer, server, bulk=True) for _ in range(3)]
    while sum(await asyncio.gather(*(worker.once() for worker in workers))):
        pass
    assert len(running.mail.mails) == 30
    assert len(set(running.mail.ids())) == 30


async def test_an_orderly_stop_in_the_middle_of_a_batch_sends_nothing_twice(running: Running) -> None:
    await many_subscribers(running, 5)
    await running.publish()
    await running.pass_time()
    running.mail.gate.clear()
    server = MailServer(running.mail.url, "noreply@city.example")
    worker = asyncio.create_task(MailWorker(running.ledger, running.renderer, server, bulk=True).run())
    await asyncio.wait_for(running.mail.reached.wait(), 10)
    worker.cancel()
    running.mail.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert len(running.mail.mails) == 2
    assert sorted(row["state"] for row in await running.deliveries()) == ["pending"] * 3 + ["sent"] * 2
    await running.due_now()
    await running.deliver()
    assert len(running.mail.mails) == len(set(running.mail.ids())) == 5


async def test_an_orderly_stop_waits_for_calls_that_have_started(running: Running) -> None:
    await subscribe_webhook(running)
    await running.publish()
    await running.pass_time()
    running.hooks.gate.clear()
    async with Webhooks(Guard(allow_private=True)) as webhooks:
        worker = asyncio.create_task(
            WebhookWorker(running.ledger, running.renderer, webhooks, bulk=True).run()
        )
        await asyncio.wait_for(running.hooks.reached.wait(), 10)
        worker.cancel()
        running.hooks.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await worker
    assert [row["state"] for row in await running.deliveries()] == ["sent"]


async def test_a_delivery_that_cannot_be_rendered_stops_no_other(running: Running) -> None:
    await many_subscribers(running, 2)
    await running.database.pool.execute(
        "UPDATE subscription SET wrapped_key = decode(repeat('00', 60), 'hex') "
        "WHERE id = (SELECT min(id) FROM subscription)"
    )
    await running.publish()
    await running.pass_time()
    await running.deliver()
    assert len(running.mail.mails) == 1
    rows = await running.deliveries()
    assert sorted((row["state"], row["error"]) for row in rows) == [("pending", "InvalidTag"), ("sent", None)]


async def test_an_endpoint_that_fails_is_tried_eight_times_and_then_ended(running: Running) -> None:
    hook = await subscribe_webhook(running)
    await running.publish()
    await running.pass_time()
    running.hooks.answers += [(500, {})] * 8
    for _ in range(10):
        await running.due_now()
        await running.deliver()
    assert len(running.hooks.calls) == 8
    assert len({call.headers["webhook-id"] for call in running.hooks.calls}) == 1
    assert len({call.body for call in running.hooks.calls}) == 1
    assert (await running.events(hook["id"]))[-1]["data"] == {"lane": "webhook", "reason": "failing"}


async def test_an_endpoint_that_cannot_be_reached_for_days_may_be_our_networks_fault(
    running: Running,
) -> None:
    hook = await subscribe_webhook(running)
    await running.publish()
    await running.pass_time()
    running.hooks.close()
    for _ in range(8):
        await running.due_now()
        await running.deliver()
    (row,) = await running.deliveries()
    assert (row["state"], row["error"]) == ("failed", "ConnectError")
    assert await running.names(hook["id"]) == ["subscription.confirmed"]


async def test_an_endpoint_that_answers_410_is_never_called_again(running: Running) -> None:
    hook = await subscribe_webhook(running)
    await running.publish()
    await running.pass_time()
    running.hooks.answers.append((410, {}))
    await running.deliver()
    await running.publish()
    await running.pass_time()
    await running.deliver()
    assert len(running.hooks.calls) == 1
    assert (await running.events(hook["id"]))[-1]["data"]["reason"] == "gone"


async def test_retry_after_is_honoured(running: Running) -> None:
    await subscribe_webhook(running)
    await running.publish()
    await running.pass_time()
    running.hooks.answers.append((429, {"retry-after": "3600"}))
    before = machine_now()
    await running.deliver()
    (row,) = await running.deliveries()
    assert row["due_at"] >= before + dt.timedelta(seconds=3600)


async def test_a_redirect_is_not_followed(running: Running) -> None:
    await subscribe_webhook(running)
    await running.publish()
    await running.pass_time()
    running.hooks.answers.append((302, {"location": running.hooks.url}))
    await running.deliver()
    assert len(running.hooks.calls) == 1
    (row,) = await running.deliveries()
    assert (row["state"], row["error"]) == ("pending", "http_302")


async def test_no_webhook_reaches_our_own_network_unless_it_is_allowed(running: Running) -> None:
    async with Webhooks(Guard(allow_private=False)) as webhooks:
        call = RenderedWebhook(running.hooks.url, SIGNED_WITH, b"{}")
        outcome = await webhooks.deliver("id", call)
    assert outcome == GiveUp("private_address")
    assert running.hooks.calls == []


async def test_an_unreachable_endpoint_is_tried_again() -> None:
    async with Webhooks(Guard(allow_private=True)) as webhooks:
        call = RenderedWebhook("http://127.0.0.1:1/in", SIGNED_WITH, b"{}")
        assert await webhooks.deliver("id", call) == TryAgain("ConnectError")


async def test_a_publication_that_was_withdrawn_in_the_meantime_is_not_sent(running: Running) -> None:
    await running.subscribed("one@example.org")
    await running.subscribed("two@example.org")
    publication = await running.publish()
    await running.pass_time()
    running.sign_in("approver-7", "approver")
    await running.post(
        f"/api/publisher/v1/publications/{publication}/withdraw", {"version": 1, "reason": "x"}
    )
    await running.deliver()
    assert running.mail.mails == []
    closed = (await push_events(running, publication))[-1]
    assert closed["data"]["failed"] == 2  # type: ignore[index]


def test_a_lease_is_longer_than_any_attempt_may_take() -> None:
    assert LEASE.total_seconds() > 4 * max(MAIL_SECONDS, CALL_SECONDS)
