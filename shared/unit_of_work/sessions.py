"""Sessions with PostgreSQL, in which each side notices by itself that the other one is gone.

A host that vanishes says no farewell. Left alone, PostgreSQL keeps the locks of its sessions for more than
two hours, and a client waits as long for an answer. So the server gets time limits for each session, the
client's socket gets the same, and a session that does not answer is ended and never used again.
"""

import asyncio
import socket
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

from shared.settings import CoreSettings
from shared.unit_of_work.asyncpg_internals import look_at_arrays_quickly

look_at_arrays_quickly()

T = TypeVar("T")

_KEEPALIVE_PROBES = 3
# A command that has timed out is cancelled over a second connection, which may hang as well.
_CANCEL_SECONDS = 0.5
_CLOSE_SECONDS = 2.0
_PING_SECONDS = 2.0
_PING_EVERY_SECONDS = 1.0
# A pooled session that was used more recently is not pinged before its next use.
_TRUSTED_SECONDS = 5.0


class Session(asyncpg.Connection):
    """A connection that never waits without end for a server that does not answer."""

    __slots__ = ("last_used",)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.last_used = time.monotonic()

    def get_reset_query(self) -> str:
        # asyncpg sends four statements after each transaction of the pool. Nothing is there to reset:
        # settings are SET LOCAL, advisory locks end with their transaction, and nobody listens.
        return ""

    async def reset(self, *, timeout: float | None = None) -> None:
        await super().reset(timeout=timeout)
        self.last_used = time.monotonic()

    async def close(self, *, timeout: float | None = None) -> None:
        await super().close(timeout=_CLOSE_SECONDS if timeout is None else timeout)

    def _cancel_current_command(
        self, waiter: asyncio.Future[None], cancel_waiter: asyncio.Future[None] | None = None
    ) -> None:
        # Otherwise the rollback after a command that timed out waits as long again.
        super()._cancel_current_command(waiter, cancel_waiter)  # type: ignore[misc]
        if cancel_waiter is not None:
            asyncio.get_running_loop().call_later(_CANCEL_SECONDS, self._give_up, cancel_waiter)

    def _give_up(self, cancelled: asyncio.Future[None]) -> None:
        if not cancelled.done():
            self.terminate()


def options(settings: CoreSettings, *, owner: bool = False) -> dict[str, Any]:
    """Arguments of `asyncpg.connect` and `create_pool` for a session of the service.

    With `owner` for a session that holds advisory locks: the server ends it, and frees them, once it has said
    nothing for `OWNER_IDLE_SECONDS`.
    """
    name = f"civicloom {settings.service}"
    limits = {
        "tcp_keepalives_idle": settings.keepalive_seconds,
        "tcp_keepalives_interval": settings.keepalive_seconds,
        "tcp_keepalives_count": _KEEPALIVE_PROBES,
        "tcp_user_timeout": _milliseconds(_unanswered(settings)),
        "transaction_timeout": _milliseconds(settings.transaction_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(settings.transaction_idle_seconds),
    }
    if owner:
        limits["idle_session_timeout"] = _milliseconds(settings.owner_idle_seconds)
    return {
        "connection_class": Session,
        "timeout": settings.connect_seconds,
        "command_timeout": settings.command_seconds,
        "server_settings": {
            "search_path": settings.service,
            "application_name": f"{name} owner" if owner else name,
            **{setting: str(value) for setting, value in limits.items()},
        },
    }


def watch_socket(connection: asyncpg.Connection, settings: CoreSettings) -> None:
    """Lets the kernel break the connection when the server's host no longer acknowledges anything."""
    transport: Any = connection._transport  # type: ignore[attr-defined]  # there is no public way to the socket
    opened = transport.get_extra_info("socket")
    if opened.family == socket.AF_UNIX:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", settings.keepalive_seconds),
        ("TCP_KEEPINTVL", settings.keepalive_seconds),
        ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", _milliseconds(_unanswered(settings))),
    ):
        if option := getattr(socket, name, None):  # not on every platform
            opened.setsockopt(socket.IPPROTO_TCP, option, value)


async def open_pool(settings: CoreSettings) -> asyncpg.Pool:
    """The pool of a service. Raises asyncpg's errors, OSError and TimeoutError if the database is away."""

    async def watch(connection: asyncpg.Connection) -> None:
        watch_socket(connection, settings)

    async def check(connection: Any) -> None:
        """Pings a session that was idle; when it is dead, its siblings are suspected too and replaced."""
        if time.monotonic() - connection.last_used < _TRUSTED_SECONDS:
            return
        try:
            await connection.execute("SELECT 1", timeout=_PING_SECONDS)
        except BaseException:
            connection.terminate()
            await pool.expire_connections()
            raise

    pool = await asyncpg.create_pool(
        settings.service_database_url,
        min_size=1,
        max_size=settings.pool_size,
        init=watch,
        setup=check,
        **options(settings),
    )
    return pool


async def open_session(settings: CoreSettings, *, owner: bool) -> asyncpg.Connection:
    """A session outside the pool. An `owner` of locks that has nothing to say on it pings it.

    Raises asyncpg's errors, OSError and TimeoutError if the database is away.
    """
    connection: asyncpg.Connection = await asyncpg.connect(
        settings.service_database_url, **options(settings, owner=owner)
    )
    watch_socket(connection, settings)
    return connection


async def ping(connection: asyncpg.Connection) -> None:
    """Keeps a session alive that has nothing to say, and finds out that it is gone.

    Raises asyncpg's errors, OSError or TimeoutError.
    """
    await connection.execute("SELECT 1", timeout=_PING_SECONDS)


async def keep_alive(connection: asyncpg.Connection, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which does not use the connection; pings once a second until then.

    Raises what `work` raises, or what `ping` does: then `work` is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_PING_EVERY_SECONDS)
            if not task.done():
                await ping(connection)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _unanswered(settings: CoreSettings) -> float:
    """After how many seconds without an acknowledgement the other host counts as gone."""
    return settings.keepalive_seconds * _KEEPALIVE_PROBES


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
