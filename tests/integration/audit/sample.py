"""Shared by the tests of audit: a service to log, a session, waiting for other processes."""

import asyncio
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from starlette.responses import Response

from harness.schema import SECRET
from shared.contracts import registry  # noqa: F401
from shared.contracts.routing import CaseTriaged
from shared.ids import new_id
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Emitted
from shared.web.session import LONGEST_SECONDS, Person, Sessions
from shared.web.settings import WebSettings

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


@dataclasses.dataclass
class SampleService:
    """Emits events of routing, `written` per subject, and relays them to the broker."""

    database: Database
    written: dict[str, list[Emitted]] = dataclasses.field(default_factory=dict)

    async def write(self, subject: str | None = None, count: int = 1) -> str:
        """`count` events about one subject in one transaction; answers the subject."""
        subject = subject or new_id(NOW)
        async with self.database.transaction([subject]) as tx:
            emitted = [
                tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=subject) for _ in range(count)
            ]
        self.written.setdefault(subject, []).extend(emitted)
        return subject

    @property
    def total(self) -> int:
        return sum(len(events) for events in self.written.values())

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Writes some hundred events a second during the block."""

        ended = asyncio.Event()

        async def write() -> None:
            subjects = [new_id(NOW) for _ in range(20)]
            while not ended.is_set():
                for subject in subjects:
                    await self.write(subject, 5)
                await asyncio.sleep(0.1)

        # Not cancelled: what was committed and not noted would seem too much afterwards.
        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            try:
                yield
            finally:
                ended.set()


def cookie(*roles: str, seconds: int = LONGEST_SECONDS) -> str:
    """The session cookie of a person with these roles, as /login sets it, valid for `seconds`."""
    sessions = Sessions(WebSettings(secret_key=SecretStr(SECRET)))
    response = Response()
    signed_in = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=LONGEST_SECONDS - seconds)
    sessions.sign_in(response, Person("ann", "Ann", frozenset(roles), None, signed_in))
    return response.headers["set-cookie"].split(";")[0]


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 30, every: float = 0.05
) -> None:
    """Polls for a condition in another process."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(every)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what}")
