"""The owner of a subscription reads and ends it over the API."""

import secrets
from typing import Any

import httpx
import pytest

from services.publisher.domain.delivery_results import GiveUp
from services.publisher.push.ledger import Ledger
from services.publisher.queries.deliveries import ClaimedDelivery
from tests.integration.publisher.conftest import Running

pytestmark = pytest.mark.integration
PATH = "/api/publisher/v1/subscriptions"


async def subscribe_webhook(running: Running) -> tuple[str, str]:
    """A new webhook subscription: its URL at the API, and its secret."""
    answer = await running.post(PATH, {"lane": "webhook", "url": running.hooks.url, "topics": ["housing"]})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"], answer.json()["secret"]


async def subscribe_email(running: Running, address: str) -> tuple[str, str]:
    """The same for mails; the secret is the last part of the link in a mail."""
    subscription = await running.subscribed(address)
    await running.publish()
    await running.pass_time()
    await running.deliver()
    (mail,) = [each for each in running.mail.mails if each["To"] == address]
    token = mail["List-Unsubscribe"].strip("<>").split("/")[-1]
    running.mail.mails.clear()
    return f"{PATH}/{subscription}", token


async def look(running: Running, location: str, secret: str | None = None) -> httpx.Response:
    headers = {"X-Subscription-Secret": secret} if secret else {}
    return await running.client.get(location, headers=headers)


async def leave(
    running: Running, location: str, secret: str | None = None, key: str | None = None
) -> httpx.Response:
    headers = {"Idempotency-Key": key or secrets.token_hex(8)}
    if secret:
        headers["X-Subscription-Secret"] = secret
    return await running.client.delete(location, headers=headers)


async def push_deliveries(running: Running) -> list[dict[str, Any]]:
    return [each for each in await running.deliveries() if each["kind"] == "publication"]


async def test_the_owner_of_a_webhook_looks_at_it_without_its_address(running: Running) -> None:
    location, secret = await subscribe_webhook(running)
    shown = await look(running, location, secret)
    assert shown.status_code == 200
    assert shown.json() == {
        "id": location.split("/")[-1],
        "lane": "webhook",
        "state": "active",
        "language": "zh",
        "topics": ["housing"],
        "asked_at": "2026-11-24T01:30:00Z",
        "confirmed_at": "2026-11-24T01:30:00Z",
        "ended_at": None,
    }


async def test_the_owner_of_a_webhook_ends_it_and_ends_it_again(running: Running) -> None:
    location, secret = await subscribe_webhook(running)
    subscription = location.split("/")[-1]
    answers = [await leave(running, location, secret, key) for key in ("one", "one", "two")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].json() == {"id": subscription, "state": "ended", "sequence": 2}
    assert await running.names(subscription) == ["subscription.confirmed", "subscription.ended"]
    assert (await running.events(subscription))[-1]["data"] == {"lane": "webhook", "reason": "asked"}
    row = await running.database.pool.fetchrow("SELECT * FROM subscription WHERE id = $1", subscription)
    assert (row["address"], row["wrapped_key"], row["address_hash"]) == (None, None, None)
    shown = (await look(running, location, secret)).json()
    assert (shown["state"], shown["ended_at"]) == ("ended", "2026-11-24T01:30:00Z")


async def test_a_reader_of_mails_ends_them_with_the_token_of_the_link(running: Running) -> None:
    location, token = await subscribe_email(running, "one@example.org")
    assert (await look(running, location, token)).json()["state"] == "active"
    assert (await leave(running, location, token)).status_code == 200
    await running.publish()
    await running.pass_time()
    await running.deliver()
    assert running.mail.mails == []


async def test_what_the_ledger_holds_for_an_ended_webhook_is_not_sent(running: Running) -> None:
    location, secret = await subscribe_webhook(running)
    running.hooks.answers.append((503, {}))
    publication = await running.publish(topics=["housing"])
    await running.pass_time()
    await running.deliver()
    assert [row["state"] for row in await push_deliveries(running)] == ["pending"]
    assert len(running.hooks.calls) == 1
    await leave(running, location, secret)
    await running.due_now()
    await running.deliver()
    assert len(running.hooks.calls) == 1
    assert [(row["state"], row["error"]) for row in await push_deliveries(running)] == [("failed", "left")]
    assert (await running.names(publication))[-1] == "push.batch_closed"


async def test_a_rendered_mail_is_not_sent_to_a_subscriber_who_has_left(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    locations = [await subscribe_email(running, f"{name}@example.org") for name in ("one", "two")]
    await running.publish()
    await running.pass_time()
    recheck = Ledger.recheck
    asked: list[str] = []

    async def after_the_second_has_left(ledger: Ledger, delivery: ClaimedDelivery) -> GiveUp | None:
        asked.append(delivery.recipient)
        if len(asked) == 2:
            location, token = next(each for each in locations if each[0].endswith(delivery.recipient))
            assert (await leave(running, location, token)).status_code == 200
        return await recheck(ledger, delivery)

    monkeypatch.setattr(Ledger, "recheck", after_the_second_has_left)
    await running.deliver()
    assert len(running.mail.mails) == 1
    errors = {row["error"] for row in await push_deliveries(running) if row["recipient"] == asked[1]}
    assert errors == {None, "left"}


@pytest.mark.parametrize("act", ["withdraw", "correct"])
async def test_a_rendered_mail_is_not_sent_once_its_text_was_replaced(
    running: Running, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    for name in ("one", "two"):
        await running.subscribed(f"{name}@example.org")
    publication = await running.publish()
    await running.pass_time()
    recheck = Ledger.recheck
    asked: list[str] = []

    async def after_the_text_has_changed(ledger: Ledger, delivery: ClaimedDelivery) -> GiveUp | None:
        asked.append(delivery.id)
        if len(asked) == 2:
            await (running.withdraw(publication) if act == "withdraw" else running.correct(publication))
        return await recheck(ledger, delivery)

    monkeypatch.setattr(Ledger, "recheck", after_the_text_has_changed)
    await running.deliver()
    assert len(running.mail.mails) == 1
    assert [row["error"] for row in await push_deliveries(running) if row["id"] == asked[1]] == ["superseded"]


@pytest.mark.parametrize("secret", ["x", "居民", "whsec_", "A" * 22])
async def test_a_wrong_secret_opens_nothing_and_ends_nothing(running: Running, secret: str) -> None:
    location, right = await subscribe_webhook(running)
    headers = {"X-Subscription-Secret": secret.encode(), "Idempotency-Key": "k"}
    for method in ("GET", "DELETE"):
        for where in (location, f"{PATH}/{'0' * 36}", f"{PATH}/nonsense"):
            answer = await running.client.request(method, where, headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 404
            assert answer.json()["type"].endswith("no-such-subscription")
    assert (await look(running, location, right)).json()["state"] == "active"


async def test_one_subscribers_secret_is_not_anothers(running: Running) -> None:
    mine, my_token = await subscribe_email(running, "one@example.org")
    yours, _ = await subscribe_email(running, "two@example.org")
    assert (await leave(running, yours, my_token)).status_code == 404
    assert (await leave(running, mine, my_token)).status_code == 200


async def test_staff_look_without_secret_and_cannot_end_it_and_strangers_cannot_look(
    running: Running,
) -> None:
    location, _ = await subscribe_webhook(running)
    assert (await look(running, location)).status_code == 401
    running.sign_in("clerk-1", "clerk")
    assert (await look(running, location)).status_code == 401
    running.sign_in("editor-3", "editor")
    assert (await look(running, location)).json()["state"] == "active"
    assert (await look(running, location, "wrong")).status_code == 404
    assert (await leave(running, location)).status_code == 401


async def test_ending_needs_an_idempotency_key(running: Running) -> None:
    location, secret = await subscribe_webhook(running)
    answer = await running.client.delete(location, headers={"X-Subscription-Secret": secret})
    assert answer.status_code == 400
    assert (await look(running, location, secret)).json()["state"] == "active"


async def test_the_api_describes_how_to_look_and_to_leave(running: Running) -> None:
    document = (await running.client.get("/api/publisher/openapi.json")).json()
    paths = document["paths"][PATH + "/{subscription}"]
    assert set(paths) == {"get", "delete"}
    for operation in paths.values():
        assert {"subscription", "X-Subscription-Secret"} == {each["name"] for each in operation["parameters"]}
