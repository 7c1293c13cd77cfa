"""A TCP proxy that can lose a network: what is connected hears no more of the other side, not even its end.

As after a switch that has lost its state, or a host that vanished: neither FIN nor RST; connections that
stood stay frozen for good, and new ones work again once the network is mended. One thing differs from a
vanished host: the proxy's own kernel goes on acknowledging what it gets, so TCP keepalives find nothing. Only
time limits of the two programs can end such a connection, which makes it the harder case.
"""

import asyncio
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """A context manager that forwards 127.0.0.1:`port` to `target_port`, on a thread with a loop of its own.

    With `port=0` it takes a free one. Its methods may be called from any thread.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        self.port = port
        self.target_port = target_port
        self.is_lost = False
        self.links: set[_Link] = set()
        self.open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def frozen(self) -> int:
        """How many connections stand that nobody will hear of again."""
        return sum(link.frozen for link in list(self.links))

    def lose_network(self) -> None:
        """Freezes every connection for good, and swallows what new ones send until `mend`."""
        self.is_lost = True
        for link in list(self.links):
            link.frozen = True

    def mend(self) -> None:
        """New connections work; frozen ones stay frozen."""
        self.is_lost = False

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(
            lambda: _Side(_Link(self)), "127.0.0.1", self.port, backlog=1000
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stop.wait()
        server.close()
        while self.open or len(asyncio.all_tasks()) > 1:  # also those that are being connected
            for transport in list(self.open):
                transport.abort()
            await asyncio.sleep(0.01)


class _Link:
    """One forwarded connection with its two sides: the client's, then the server's."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.frozen = proxy.is_lost
        self.sides: list[_Side] = []
        self._connecting: asyncio.Task[None] | None = None
        proxy.links.add(self)

    def joined(self, side: "_Side") -> None:
        self.sides.append(side)
        if len(self.sides) == 1 and not self.frozen:
            side.transport.pause_reading()
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        elif len(self.sides) == 2:
            self.sides[0].transport.resume_reading()

    def other(self, side: "_Side") -> "_Side | None":
        return next((one for one in self.sides if one is not side), None)

    def end(self) -> None:
        self.proxy.links.discard(self)
        for side in self.sides:
            side.transport.abort()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Side(self), "127.0.0.1", self.proxy.target_port)
        except OSError:
            self.end()


class _Side(asyncio.Protocol):
    """Passes on what it gets, and its end, unless the link is frozen."""

    transport: asyncio.Transport

    def __init__(self, link: _Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport
        self._link.proxy.open.add(transport)
        self._link.joined(self)

    def data_received(self, data: bytes) -> None:
        other = self._link.other(self)
        if other is not None and not self._link.frozen:
            other.transport.write(data)

    def pause_writing(self) -> None:
        if other := self._link.other(self):
            other.transport.pause_reading()

    def resume_writing(self) -> None:
        if other := self._link.other(self):
            other.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self._link.proxy.open.discard(self.transport)
        other = self._link.other(self)
        if not self._link.frozen:
            # What was written before the end still arrives.
            self._link.proxy.links.discard(self._link)
            if other is not None:
                other.transport.close()
        elif other is None or other.transport.is_closing():
            self._link.proxy.links.discard(self._link)
