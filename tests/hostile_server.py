"""Answers what a test writes, byte by byte: bombs, bodies without an end, bytes that trickle."""

import asyncio
import contextlib
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache

UNPACKED = 200 << 20
MOST_GROWTH = 20 << 20
PACKED = (
    "gzip",
    "gzip, gzip",
    "deflate",
    "deflate, gzip",
    "br",
    "zstd",
    "x-unknown",
    "GZIP",
    "identity, gzip",
)
"""Values of Content-Encoding that nobody asked for. httpx unpacks the last two only with other packages."""


@dataclass
class HostileServer:
    """`pieces` are sent after each request, then again and again if `endless`, with `pause` in between.

    `by_path` has other pieces for the requests whose path ends like this.
    """

    pieces: list[bytes]
    endless: bool = False
    pause: float = 0
    by_path: dict[str, list[bytes]] = field(default_factory=dict)
    url: str = ""
    heads: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            path = head.split(" ")[1].partition("?")[0]
            pieces = next((p for end, p in self.by_path.items() if path.endswith(end)), self.pieces)
            for piece in pieces:
                await self._send(writer, piece)
            while self.endless:
                await self._send(writer, pieces[-1])
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(self.pause)


def answer(body: bytes, encoding: str | None = None, status: int = 200, **headers: str) -> bytes:
    """A whole answer, after which the connection ends."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"content-encoding: {encoding}"] if encoding is not None else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@cache
def bomb(encoding: str) -> bytes:
    """Zeros, packed as `encoding` says; once by gzip if it is none that we can pack."""
    data = iter([bytes(1 << 20)] * (UNPACKED >> 20))
    names = [name.strip() for name in encoding.lower().split(",")]
    for name in [name for name in names if name in ("gzip", "deflate")] or ["gzip"]:
        data = _packed(data, 31 if name == "gzip" else 15)
    return b"".join(data)


def _packed(pieces: Iterator[bytes], window: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


@contextmanager
def little_memory() -> Iterator[None]:
    """Fails if what happens inside allocates more than MOST_GROWTH at any moment."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_GROWTH, f"{peak >> 20} MB at the peak"


@asynccontextmanager
async def hostile_server(
    *pieces: bytes, endless: bool = False, pause: float = 0
) -> AsyncIterator[HostileServer]:
    server = HostileServer(list(pieces), endless, pause)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


HEAD_WITHOUT_END = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n"
"""The beginning of an answer whose body comes in chunks."""
Hostile = tuple[tuple[bytes, ...], bool, float]
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
BYTE = b"1\r\nx\r\n"
WITHOUT_END: dict[str, Hostile] = {
    "a body without an end": ((HEAD_WITHOUT_END, CHUNK), True, 0),
    "a body that trickles": ((HEAD_WITHOUT_END, BYTE), True, 0.05),
    "a head that trickles": ((b"HTTP/1.1 200 X\r\n", b"x: y\r\n"), True, 0.05),
    "a head without an end": ((b"HTTP/1.1 200 X\r\nx: ", b"y" * 0x10000), True, 0),
    "answers before the answer": ((b"HTTP/1.1 103 X\r\nx: y\r\n\r\n",), True, 0.01),
}
