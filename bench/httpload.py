"""A light closed loop over HTTP in a separate process: each connection sends on once it is answered."""

import asyncio
import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import uvloop

from bench.generator import SPAWN

_PREFIX = "bench"


@dataclass(frozen=True, slots=True)
class Load:
    """Where to post what. `bodies` are taken in turn, each request under a new Idempotency-Key."""

    url: str
    bodies: tuple[bytes, ...]
    connections: int
    requests: int


@dataclass(frozen=True, slots=True)
class Answered:
    """Seconds from the first request to the last answer, the latencies in seconds, answers by status."""

    seconds: float
    latencies: list[float]
    statuses: dict[int, int]

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def run_load(load: Load) -> Answered:
    """Runs it until every request is answered. Raises RuntimeError if the process ends before."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_main, args=(load, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        answered: Answered = await asyncio.to_thread(ours.recv)
    except EOFError:
        raise RuntimeError("the load process ended before its requests were answered") from None
    finally:
        process.terminate()
        process.join()
    return answered


def json_bodies(values: list[dict[str, Any]]) -> tuple[bytes, ...]:
    return tuple(json.dumps(value, ensure_ascii=False).encode() for value in values)


def _main(load: Load, pipe: Any) -> None:
    pipe.send(uvloop.run(_drive(load)))


class _Run:
    """What the connections share."""

    def __init__(self, load: Load) -> None:
        parts = urlsplit(load.url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        ).encode()
        self._load = load
        self._asked = 0
        self._token = f"{_PREFIX}-{os.getpid()}-{time.monotonic_ns()}"
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.over = asyncio.Event()

    def next_request(self) -> bytes | None:
        if self._asked == self._load.requests:
            return None
        number, self._asked = self._asked, self._asked + 1
        body = self._load.bodies[number % len(self._load.bodies)]
        more = f"Idempotency-Key: {self._token}-{number}\r\nContent-Length: {len(body)}\r\n\r\n"
        return self._head + more.encode() + body

    def answered(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.latencies.append(seconds)
        if len(self.latencies) == self._load.requests:
            self.over.set()


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._run.answered(self._parser.get_status_code(), time.perf_counter() - self._asked_at)
        self._ask()

    def connection_lost(self, _error: Exception | None) -> None:
        # A service that hangs up has lost a request: the run must not look whole.
        self._run.over.set()

    def _ask(self) -> None:
        request = self._run.next_request()
        if request is not None:
            self._parser = httptools.HttpResponseParser(self)
            self._asked_at = time.perf_counter()
            self._transport.write(request)


async def _drive(load: Load) -> Answered:
    run = _Run(load)
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(run), run.host, run.port)
    await run.over.wait()
    return Answered(time.perf_counter() - begun, run.latencies, dict(run.statuses))
