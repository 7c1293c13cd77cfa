"""Guesses at secrets and links are slowed down, and never refuse the right one of the same address."""

import secrets

import pytest

from shared.ids import new_id
from shared.web.ratelimit import WRONG_SECRETS_PER_CLIENT
from tests.integration.publisher.conftest import START, Running
from tests.integration.publisher.test_deliveries import subscribe_webhook
from tests.integration.publisher.test_subscriptions import link_of

pytestmark = pytest.mark.integration
PATH = "/api/publisher/v1/subscriptions"
BURST = WRONG_SECRETS_PER_CLIENT[0]


async def ask_with(running: Running, method: str, path: str, secret: str) -> int:
    headers = {"X-Subscription-Secret": secret, "Idempotency-Key": secrets.token_hex(8)}
    answer = await running.client.request(method, path, headers=headers)
    if answer.status_code == 429:
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code


async def test_a_thousand_wrong_secrets_of_a_subscription_do_not_refuse_the_right_one(
    running: Running,
) -> None:
    hook = await subscribe_webhook(running)
    path = f"{PATH}/{hook['id']}"
    statuses = [await ask_with(running, "GET", path, "whsec_x") for _ in range(1000)]
    assert statuses == [404] * BURST + [429] * (1000 - BURST)
    assert await ask_with(running, "GET", path, hook["secret"]) == 200
    assert await ask_with(running, "POST", f"{path}/rotate", hook["secret"]) == 200
    assert await ask_with(running, "POST", f"{path}/rotate", "whsec_x") == 429
    assert await ask_with(running, "DELETE", path, "whsec_x") == 429
    assert await ask_with(running, "GET", f"{PATH}/{new_id(START)}", "whsec_x") == 429, "also of none"


async def test_a_wrong_secret_gets_no_transaction_that_locks(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await subscribe_webhook(running)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a transaction for a guess")

    monkeypatch.setattr(type(running.database), "transaction", forbidden)
    for method, path in (("POST", "/rotate"), ("DELETE", ""), ("GET", "")):
        assert await ask_with(running, method, f"{PATH}/{hook['id']}{path}", "whsec_x") == 404


@pytest.mark.parametrize("kind", ["confirm", "leave"])
async def test_a_thousand_wrong_links_do_not_refuse_the_right_one(running: Running, kind: str) -> None:
    if kind == "leave":
        await running.subscribed("one@example.org")
        await running.publish()
        await running.pass_time()
    else:
        await running.post(PATH, {"lane": "email", "address": "one@example.org"})
    await running.deliver()
    right = await link_of(running, kind)
    wrong = right[:-4] + "AAAA"
    statuses = [(await running.client.get(wrong)).status_code for _ in range(1000)]
    assert statuses == [404] * BURST + [429] * (1000 - BURST)
    assert (await running.client.post(wrong)).status_code == 429
    assert (await running.client.get(right)).status_code == 200
    assert (await running.client.post(right)).status_code == 200
