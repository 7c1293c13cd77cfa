"""A webhook's secret is rotated without an interval in which the receiver can verify nothing."""

import secrets
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.publisher.derived_secrets import OVERLAP
from tests.integration.publisher.conftest import Running

pytestmark = pytest.mark.integration
PATH = "/api/publisher/v1/subscriptions"


async def subscribe_webhook(running: Running) -> tuple[str, str]:
    """A new webhook subscription: its URL at the API, and its secret."""
    answer = await running.post(PATH, {"lane": "webhook", "url": running.hooks.url})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"], answer.json()["secret"]


async def rotate(running: Running, location: str, secret: str, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key or secrets.token_hex(8), "X-Subscription-Secret": secret}
    return await running.client.post(f"{location}/rotate", headers=headers)


async def delivered(running: Running) -> Any:
    """The call that delivers a new publication."""
    running.hooks.calls.clear()
    await running.publish()
    await running.pass_time()
    await running.deliver()
    (call,) = running.hooks.calls
    return call


async def test_for_a_day_both_secrets_verify_what_is_delivered_and_then_the_new_one_alone(
    running: Running,
) -> None:
    location, old = await subscribe_webhook(running)
    answer = await rotate(running, location, old)
    assert answer.status_code == 200, answer.text
    new = answer.json()["secret"]
    assert answer.json() == {"id": location.split("/")[-1], "secret": new}
    assert new != old
    call = await delivered(running)
    for secret in (old, new):
        assert Webhook(secret).verify(call.body, call.headers)["type"] == "publication.published"
    await running.database.pool.execute(
        "UPDATE subscription SET rotated_at = rotated_at - $1::interval", OVERLAP
    )
    call = await delivered(running)
    assert Webhook(new).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(call.body, call.headers)


async def test_the_old_secret_is_invalid_after_a_rotation(running: Running) -> None:
    location, old = await subscribe_webhook(running)
    new = (await rotate(running, location, old)).json()["secret"]
    for secret, status in ((old, 404), (new, 200)):
        look = await running.client.get(location, headers={"X-Subscription-Secret": secret})
        assert look.status_code == status
    assert (await rotate(running, location, old)).status_code == 404
    newest = (await rotate(running, location, new)).json()["secret"]
    assert len({old, new, newest}) == 3
    headers = {"X-Subscription-Secret": newest, "Idempotency-Key": "leave"}
    assert (await running.client.delete(location, headers=headers)).status_code == 200
    assert (await rotate(running, location, newest)).status_code == 409


async def test_a_repeat_gets_the_same_answer_and_no_secret_is_kept(
    running: Running,
) -> None:
    location, old = await subscribe_webhook(running)
    answers = [await rotate(running, location, old, key="one") for _ in range(2)]
    new = answers[0].json()["secret"]
    answers.append(await rotate(running, location, new, key="one"))
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3
    assert await running.database.pool.fetchval("SELECT generation FROM subscription") == 1
    assert (await rotate(running, location, "whsec_x", key="one")).status_code == 404
    kept = await running.database.pool.fetch(
        "SELECT response::text AS row FROM idempotency_key "
        "UNION ALL SELECT subscription::text FROM subscription"
    )
    assert all("whsec_" not in row["row"] for row in kept)


async def test_a_wrong_secret_and_the_link_of_a_mail_rotate_nothing(running: Running) -> None:
    location, _ = await subscribe_webhook(running)
    subscription = await running.subscribed("one@example.org")
    await running.publish()
    await running.pass_time()
    await running.deliver()
    token = running.mail.mails[-1]["List-Unsubscribe"].strip("<>").split("/")[-1]
    for where, secret in (
        (location, "whsec_x"),
        (f"{PATH}/{subscription}", token),
        (f"{PATH}/nonsense", "x"),
    ):
        assert (await rotate(running, where, secret)).status_code == 404
    missing = await running.client.post(f"{location}/rotate", headers={"Idempotency-Key": "k"})
    assert missing.status_code == 401
