"""What a log's site and a collector may cost by what they answer."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.audit.log import source as source_module
from services.audit.log.source import CHECKPOINT, MAX_BUNDLE_BYTES, MAX_CHECKPOINT_BYTES, Site, Unreadable
from services.audit.tracing import collector as collector_module
from services.audit.tracing.collector import Accepted, Collector, Retry
from tests.hostile_server import PACKED, WITHOUT_END, answer, bomb, hostile_server, little_memory

VERIFIER = Path(__file__).parents[4] / "examples" / "verify.py"


async def read(url: str) -> bytes:
    """The checkpoint at a site; Site is for threads."""
    site = Site(url)
    try:
        return await asyncio.to_thread(site.read, CHECKPOINT, MAX_CHECKPOINT_BYTES)
    finally:
        await asyncio.to_thread(site.close)


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_packed_file_of_a_log_is_not_unpacked(encoding: str) -> None:
    async with hostile_server(answer(bomb(encoding), encoding)) as server:
        with little_memory(), pytest.raises(Unreadable, match="asked for as it is") as raised:
            await read(server.url)
    assert raised.value.path == CHECKPOINT


@pytest.mark.parametrize("way", WITHOUT_END)
async def test_a_file_without_an_end_is_given_up(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_FETCH_SECONDS", 0.7)
    pieces, endless, pause = WITHOUT_END[way]
    async with hostile_server(*pieces, endless=endless, pause=pause) as server:
        began = time.monotonic()
        with little_memory(), pytest.raises(Unreadable):
            await read(server.url)
        assert time.monotonic() - began < 4


async def test_a_file_that_is_too_long_says_so() -> None:
    async with hostile_server(answer(bytes(MAX_CHECKPOINT_BYTES + 1))) as server:
        with pytest.raises(Unreadable, match=f"more than {MAX_CHECKPOINT_BYTES} bytes"):
            await read(server.url)


async def test_the_verifier_without_our_code_reads_no_file_without_an_end() -> None:
    pieces, endless, pause = WITHOUT_END["a body without an end"]
    async with hostile_server(*pieces, endless=endless, pause=pause) as server:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(VERIFIER), server.url, "log+00000000+AAAA"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert f"checkpoint has more than {MAX_BUNDLE_BYTES} bytes" in done.stderr


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", PACKED)
async def test_a_packed_answer_of_a_collector_is_not_unpacked(encoding: str, status: int) -> None:
    packed = answer(bomb(encoding), encoding, status)
    async with hostile_server(packed) as server, Collector(server.url, {}) as collector:
        with little_memory():
            result = await collector.post([])
    assert isinstance(result, Retry)
    assert "asked for as it is" in result.reason
    assert "accept-encoding: identity\r\n" in server.heads[0].lower()


@pytest.mark.parametrize("way", WITHOUT_END)
async def test_a_collector_whose_answer_does_not_end_is_asked_again_later(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "_TIMEOUT_SECONDS", 0.7)
    pieces, endless, pause = WITHOUT_END[way]
    hostile = hostile_server(*pieces, endless=endless, pause=pause)
    async with hostile as server, Collector(server.url, {}) as collector:
        with little_memory():
            assert isinstance(await collector.post([]), Retry)


async def test_a_collector_that_answers_plainly_is_understood() -> None:
    body = b'{"partialSuccess": {"rejectedSpans": 2, "errorMessage": "old"}}'
    async with hostile_server(answer(body)) as server, Collector(server.url, {}) as collector:
        assert await collector.post([]) == Accepted(2, "old")
