"""Subscribing and leaving."""

import asyncio
import datetime as dt
import re

import pytest

from services.publisher.commands.subscriptions import CONFIRM_WITHIN
from tests.integration.publisher.conftest import START, Running

pytestmark = pytest.mark.integration
PATH = "/api/publisher/v1/subscriptions"
ADDRESS = "resident@example.org"


async def link_of(running: Running, kind: str) -> str:
    text = running.mail.mails[-1].get_content()
    found = re.search(rf"http://\S+/subscribe/{kind}/\S+", text)
    assert found, text
    return found[0]


async def active(running: Running) -> int:
    count: int = await running.database.pool.fetchval(
        "SELECT count(*) FROM subscription WHERE state = 'active'"
    )
    return count


async def test_an_address_is_asked_first_and_looking_at_the_link_is_no_consent(running: Running) -> None:
    answer = await running.post(PATH, {"lane": "email", "address": ADDRESS})
    assert answer.status_code == 202
    assert "id" not in answer.json()
    await running.deliver()
    assert running.mail.mails[0]["To"] == ADDRESS
    link = await link_of(running, "confirm")
    assert (await running.client.get(link)).status_code == 200
    assert await active(running) == 0
    assert (await running.client.post(link)).status_code == 200
    assert (await running.client.post(link)).status_code == 200
    assert await active(running) == 1
    subscription = link.split("/")[-2]
    assert await running.names(subscription) == ["subscription.confirmed"]


async def test_nothing_but_the_question_is_sent_before_it_is_answered(running: Running) -> None:
    await running.post(PATH, {"lane": "email", "address": ADDRESS})
    await running.publish()
    await running.pass_time()
    await running.deliver()
    assert len(running.mail.mails) == 1


async def test_an_unconfirmed_request_is_deleted_after_a_week(running: Running) -> None:
    await running.post(PATH, {"lane": "email", "address": ADDRESS})
    await running.deliver()
    link = await link_of(running, "confirm")
    await running.pass_time(START + CONFIRM_WITHIN)
    assert await running.database.pool.fetchval("SELECT count(*) FROM subscription") == 0
    assert (await running.client.post(link)).status_code == 410
    assert await active(running) == 0


@pytest.mark.parametrize("kind", ["confirm", "leave"])
async def test_a_link_that_was_changed_is_refused(running: Running, kind: str) -> None:
    subscription = await running.subscribed(ADDRESS)
    for token in ("x", "居民", "A" * 22):
        for method in ("GET", "POST"):
            answer = await running.client.request(method, f"/subscribe/{kind}/{subscription}/{token}")
            assert answer.status_code == 404
    assert await active(running) == 1


async def test_a_mail_program_leaves_with_one_click_as_rfc_8058_says(running: Running) -> None:
    subscription = await running.subscribed(ADDRESS)
    await running.publish()
    await running.pass_time()
    await running.deliver()
    mail = running.mail.mails[-1]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail["List-Unsubscribe"].strip("<>")
    assert (await running.client.get(link)).status_code == 200
    assert await active(running) == 1
    running.client.cookies.clear()
    for _ in range(2):
        answer = await running.client.post(link, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
    assert (await running.events(subscription))[-1]["data"] == {"lane": "email", "reason": "asked"}
    row = await running.database.pool.fetchrow("SELECT * FROM subscription WHERE id = $1", subscription)
    assert (row["state"], row["address"], row["wrapped_key"], row["address_hash"]) == (
        "ended",
        None,
        None,
        None,
    )


async def test_a_new_choice_of_the_same_address_replaces_the_old_one(running: Running) -> None:
    first = await running.subscribed(ADDRESS, "housing")
    second = await running.subscribed(ADDRESS, "health")
    assert first != second
    assert await active(running) == 1
    assert await running.names(first) == ["subscription.confirmed", "subscription.ended"]


async def links_of(running: Running, count: int) -> list[str]:
    """The confirmation links of concurrent requests for one address."""
    for _ in range(count):
        assert (await running.post(PATH, {"lane": "email", "address": ADDRESS})).status_code == 202
        await running.deliver()
    return [
        re.search(r"http://\S+/subscribe/confirm/\S+", mail.get_content())[0]  # type: ignore[index]
        for mail in running.mail.mails
    ]


async def test_requests_of_one_address_that_are_confirmed_at_once_leave_one_subscription(
    running: Running,
) -> None:
    links = await links_of(running, 3)
    answers = await asyncio.gather(*(running.client.post(link) for link in links))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert await active(running) == 1
    names = [name for link in links for name in await running.names(link.split("/")[-2])]
    assert sorted(names) == ["subscription.confirmed"] * 3 + ["subscription.ended"] * 2


async def test_a_link_that_is_sent_twice_at_once_confirms_once_and_answers_twice(running: Running) -> None:
    (link,) = await links_of(running, 1)
    answers = await asyncio.gather(*(running.client.post(link) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [200] * 2
    assert await running.names(link.split("/")[-2]) == ["subscription.confirmed"]


async def test_one_endpoint_that_is_named_twice_at_once_has_one_subscription(running: Running) -> None:
    request = {"lane": "webhook", "url": running.hooks.url}
    answers = await asyncio.gather(*(running.post(PATH, request) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [201] * 3
    assert await active(running) == 1


async def test_addresses_are_not_readable_in_the_tables(running: Running) -> None:
    await running.subscribed(ADDRESS)
    rows = await running.database.pool.fetch("SELECT subscription::text AS row FROM subscription")
    rows += await running.database.pool.fetch("SELECT delivery::text AS row FROM delivery")
    rows += await running.database.pool.fetch("SELECT convert_from(value, 'UTF8') AS row FROM outbox")
    for row in rows:
        assert "resident" not in row["row"]
        assert ADDRESS.encode().hex() not in row["row"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"lane": "email", "address": "a@example.org\nBcc: b@example.org"}, "/address"),
        ({"lane": "email"}, "/address"),
        ({"lane": "webhook", "url": "ftp://example.org"}, "/url"),
        ({"lane": "webhook"}, "/url"),
        ({"lane": "pigeon"}, "/lane"),
        ({"lane": "email", "address": ADDRESS, "topics": ["a b"]}, "/topics"),
    ],
)
async def test_a_bad_request_is_refused_with_its_pointer(
    running: Running, body: dict[str, object], pointer: str
) -> None:
    answer = await running.post(PATH, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


async def test_a_webhook_has_to_echo_the_challenge_before_anything_is_kept(running: Running) -> None:
    running.hooks.echo = False
    answer = await running.post(PATH, {"lane": "webhook", "url": running.hooks.url})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("challenge-failed")
    assert await running.database.pool.fetchval("SELECT count(*) FROM subscription") == 0


async def test_a_repeated_request_gets_the_same_webhook_secret_which_is_stored_nowhere(
    running: Running,
) -> None:
    request = {"lane": "webhook", "url": running.hooks.url}
    first = await running.post(PATH, request, key="one-of-a-stranger")
    assert first.status_code == 201
    assert first.json()["secret"].startswith("whsec_")
    running.hooks.echo = False  # the repeat is answered, not done again
    assert (await running.post(PATH, request, key="one-of-a-stranger")).json() == first.json()
    kept = await running.database.pool.fetch(
        "SELECT response::text AS row FROM idempotency_key "
        "UNION ALL SELECT subscription::text FROM subscription"
    )
    assert all("whsec_" not in row["row"] for row in kept)


async def test_nobody_can_fill_somebody_elses_mailbox(running: Running) -> None:
    answers = [await running.post(PATH, {"lane": "email", "address": ADDRESS}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert int(answers[-1].headers["retry-after"]) > 60


async def test_the_form_that_is_sent_twice_asks_once(running: Running) -> None:
    sent = {"address": ADDRESS, "topics": ["housing"], "idempotency_key": "form-1"}
    for _ in range(5):
        assert (await running.form("/subscribe", "/subscribe", **sent)).status_code == 303
    other = await running.form("/subscribe", "/subscribe", **sent | {"address": "other@example.org"})
    assert other.status_code == 409
    await running.deliver()
    assert [mail["To"] for mail in running.mail.mails] == [ADDRESS]
    kept = await running.database.pool.fetch("SELECT idempotency_key::text AS row FROM idempotency_key")
    assert all(ADDRESS not in row["row"] for row in kept)


async def test_the_page_takes_an_address_and_shows_again_what_was_wrong(running: Running) -> None:
    wrong = await running.form("/subscribe", "/subscribe", address="<script>x</script>", topics=["housing"])
    assert wrong.status_code == 422
    assert "<script>x" not in wrong.text
    assert "&lt;script&gt;x" in wrong.text
    good = await running.form("/subscribe", "/subscribe", address=ADDRESS, topics=["housing", "health"])
    assert good.status_code == 303
    assert (await running.client.get(good.headers["location"])).status_code == 200
    await running.deliver()
    await running.client.post(await link_of(running, "confirm"))
    row = await running.database.pool.fetchrow("SELECT topics, language FROM subscription")
    assert (row["topics"], row["language"]) == (["housing", "health"], "zh")
    assert running.clock.now() - START < dt.timedelta(days=1)
