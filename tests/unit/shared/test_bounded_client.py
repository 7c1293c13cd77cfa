"""What a hostile answer may cost: bombs, bodies without an end, bytes that trickle."""

import ast
import time

import httpx
import pytest

from checks.files import REPO, tracked
from shared.bounded_client import MOST_BYTES, AnswerTooLong, BoundedClient, UnwantedEncoding
from tests.hostile_server import PACKED, WITHOUT_END, answer, bomb, hostile_server, little_memory

BOUND = 64 * 1024
SECONDS = 0.7


def bounded(**options: object) -> BoundedClient:
    return BoundedClient(**{"most_bytes": BOUND, "seconds": SECONDS, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_bomb_is_not_unpacked(encoding: str) -> None:
    async with hostile_server(answer(bomb(encoding), encoding)) as server, bounded() as client:
        with little_memory(), pytest.raises(UnwantedEncoding, match="identity") as raised:
            await client.get(server.url)
    assert encoding in str(raised.value)
    assert "accept-encoding: identity\r\n" in server.heads[0].lower()


async def test_a_bomb_behind_a_redirect_or_on_the_way_is_not_unpacked() -> None:
    packed = bomb("gzip, gzip")
    async with hostile_server() as server, bounded(follow_redirects=True) as client:
        server.by_path = {
            "/way": [answer(b"", None, 302, location="/end")],
            "/end": [answer(packed, "gzip, gzip")],
            "/redirect": [answer(packed, "gzip, gzip", 302, location="/way")],
        }
        for path in ("/way", "/redirect"):
            with little_memory(), pytest.raises(UnwantedEncoding):
                await client.get(server.url + path)


async def test_a_bomb_is_not_unpacked_piece_by_piece_either() -> None:
    async with hostile_server(answer(bomb("gzip, gzip"), "gzip, gzip")) as server, bounded() as client:
        with little_memory(), pytest.raises(UnwantedEncoding):
            async with client.stream("GET", server.url) as response:
                async for _ in response.aiter_bytes():
                    pass


@pytest.mark.parametrize("way", WITHOUT_END)
async def test_no_answer_without_an_end_is_waited_for(way: str) -> None:
    pieces, endless, pause = WITHOUT_END[way]
    async with hostile_server(*pieces, endless=endless, pause=pause) as server, bounded() as client:
        began = time.monotonic()
        with little_memory(), pytest.raises((AnswerTooLong, httpx.ReadTimeout, httpx.RemoteProtocolError)):
            await client.get(server.url)
        assert time.monotonic() - began < SECONDS + 2


async def test_a_streamed_answer_that_trickles_has_the_same_time_limit() -> None:
    pieces, endless, pause = WITHOUT_END["a body that trickles"]
    async with hostile_server(*pieces, endless=endless, pause=pause) as server, bounded() as client:
        with pytest.raises(httpx.ReadTimeout, match="in time"):
            async with client.stream("GET", server.url) as response:
                await response.aread()


@pytest.mark.parametrize("length", [0, 1, BOUND])
async def test_an_answer_up_to_the_bound_is_read(length: int) -> None:
    body = bytes(length)
    async with hostile_server(answer(body)) as server, bounded() as client:
        assert (await client.get(server.url)).content == body


async def test_an_answer_of_one_byte_more_is_not() -> None:
    async with hostile_server(answer(bytes(BOUND + 1))) as server, bounded() as client:
        with pytest.raises(AnswerTooLong, match=f"more than {BOUND} bytes"):
            await client.get(server.url)


async def test_one_request_may_allow_another_length() -> None:
    async with hostile_server(answer(bytes(101))) as server, bounded() as client:
        with pytest.raises(AnswerTooLong, match="more than 100 bytes"):
            await client.get(server.url, extensions={MOST_BYTES: 100})
        assert (await client.get(server.url, extensions={MOST_BYTES: 101})).content == bytes(101)


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", "identity, identity"])
async def test_an_answer_that_says_it_is_not_packed_is_read(encoding: str) -> None:
    async with hostile_server(answer(b"plain", encoding)) as server, bounded() as client:
        assert (await client.get(server.url)).content == b"plain"


async def test_an_answer_without_a_body_may_name_any_encoding() -> None:
    async with hostile_server(answer(b"", "gzip", 404)) as server, bounded() as client:
        assert (await client.get(server.url)).status_code == 404


async def test_a_client_that_asks_for_packed_answers_asks_for_identity() -> None:
    async with (
        hostile_server(answer(b"plain")) as server,
        bounded(headers={"Accept-Encoding": "br"}) as client,
    ):
        await client.get(server.url, headers={"Accept-Encoding": "gzip"})
    assert "accept-encoding: identity\r\n" in server.heads[0].lower()


def test_nothing_that_ships_calls_out_by_another_client() -> None:
    allowed = {"shared/bounded_client.py", "examples/verify.py"}
    found = set()
    for path in tracked(REPO, "*.py"):
        if path.parts[0] not in ("services", "shared", "deploy", "examples") or str(path) in allowed:
            continue
        for node in ast.walk(ast.parse((REPO / path).read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called.startswith(
                ("httpx.AsyncClient", "httpx.Client", "urllib.request.", "http.client.")
            ) or (called in ("httpx.get", "httpx.post", "httpx.request", "httpx.stream", "urlopen")):
                found.add(f"{path}:{node.lineno}: {called}")
    assert not found
