"""What `make run` reads of its own address, also when something else listens there."""

import asyncio

import pytest

from deploy.local import status
from tests.hostile_server import WITHOUT_END, answer, bomb, hostile_server, little_memory


async def get(url: str) -> status.Answer:
    return await asyncio.to_thread(status.get, url)


@pytest.mark.parametrize("code", [200, 404, 503])
async def test_every_status_is_an_answer(code: int) -> None:
    async with hostile_server(
        answer("有".encode(), None, code, content_type="text/plain; charset=utf-8")
    ) as server:
        assert await get(server.url) == status.Answer(code, "有")


async def test_nobody_there_is_status_0_and_says_why() -> None:
    found = await get("http://127.0.0.1:1/")
    assert found.status == 0
    assert found.body


async def test_a_packed_answer_is_none() -> None:
    async with hostile_server(answer(bomb("gzip, gzip"), "gzip, gzip")) as server:
        with little_memory():
            found = await get(server.url)
    assert found.status == 0
    assert "asked for as it is" in found.body


@pytest.mark.parametrize("way", WITHOUT_END)
async def test_an_answer_without_an_end_is_none(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_SECONDS", 0.7)
    pieces, endless, pause = WITHOUT_END[way]
    async with hostile_server(*pieces, endless=endless, pause=pause) as server:
        with little_memory():
            assert (await get(server.url)).status == 0
