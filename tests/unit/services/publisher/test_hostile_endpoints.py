"""What the owner of a webhook may cost us by what the endpoint answers."""

import time

import pytest

from services.publisher.domain.delivery_results import Delivered, GiveUp, TryAgain
from services.publisher.push import webhooks as webhooks_module
from services.publisher.push.guard import Guard
from services.publisher.push.rendering import RenderedWebhook
from services.publisher.push.webhooks import Webhooks
from tests.hostile_server import PACKED, WITHOUT_END, answer, bomb, hostile_server, little_memory

SECRET = "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="


def calls() -> Webhooks:
    return Webhooks(Guard(allow_private=True))


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_bomb_is_no_echo_of_a_challenge(encoding: str) -> None:
    async with hostile_server(answer(bomb(encoding), encoding)) as server, calls() as webhooks:
        with little_memory():
            assert not await webhooks.echoes(server.url, "id", SECRET)
    assert "accept-encoding: identity\r\n" in server.heads[0].lower()


@pytest.mark.parametrize("status", [200, 302, 500])
async def test_the_body_of_a_deliverys_answer_is_not_read(status: int) -> None:
    packed = answer(bomb("gzip, gzip"), "gzip, gzip", status)
    async with hostile_server(packed) as server, calls() as webhooks:
        with little_memory():
            result = await webhooks.deliver("id", RenderedWebhook(server.url, (SECRET,), b"{}"))
    assert result == (Delivered() if status == 200 else TryAgain(f"http_{status}", reached=True))


@pytest.mark.parametrize("way", WITHOUT_END)
async def test_no_answer_without_an_end_is_an_echo(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks_module, "ATTEMPT_SECONDS", 0.7)
    pieces, endless, pause = WITHOUT_END[way]
    async with hostile_server(*pieces, endless=endless, pause=pause) as server, calls() as webhooks:
        began = time.monotonic()
        with little_memory():
            assert not await webhooks.echoes(server.url, "id", SECRET)
        assert time.monotonic() - began < 3


async def test_an_echo_of_more_than_four_kilobytes_is_none() -> None:
    async with hostile_server(answer(bytes(4097))) as server, calls() as webhooks:
        assert not await webhooks.echoes(server.url, "id", SECRET)


async def test_a_delivery_to_another_port_is_given_up_and_the_address_is_not_gone() -> None:
    async with Webhooks(Guard(allow_private=False)) as webhooks:
        result = await webhooks.deliver("id", RenderedWebhook("https://8.8.8.8:22/", (SECRET,), b"{}"))
    assert result == GiveUp("forbidden_port")
