"""The pack versions that a service has seen: stored in the table `policy_version`, compiled once per process.

Pure code takes a version, never "the current one": a case keeps the version under which it was accepted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Self

import asyncpg

from shared import sql
from shared.errors import CivicloomError
from shared.logs import get_logger
from shared.policy.errors import PolicyError
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Connection

QUERIES = sql.load("shared", "packs.sql")
log = get_logger(__name__)

MISS_SECONDS = 60
"""For so long a version that the folder did not have is not looked for there again."""

Readable = Connection | asyncpg.Pool
"""A connection or a pool to query."""
Connect = Callable[[], Awaitable[asyncpg.Connection]]
"""Opens a connection of its own to the service's schema."""


class PackNotHere(CivicloomError):
    """A version that is neither in the table nor in the folder of packs (yet)."""

    def __init__(self, version: str) -> None:
        super().__init__(f"policy version {version} is not known here: bring the folder of packs up to date")


class Packs:
    """Packs by version. `current` is the folder's at start, for new cases.

    What is known here is committed in the table: a version is stored by a connection of its own, never in the
    transaction of a caller, which may be rolled back. The connection is none of the pool's, all of which may
    be held by callers that wait here.
    """

    def __init__(self, current: Pack, folder: Path, connect: Connect) -> None:
        self.current = current
        self._folder = folder
        self._connect = connect
        self._known = {current.version: current}
        self._missed: dict[str, float] = {}
        self._looking = asyncio.Lock()

    @classmethod
    async def open(cls, database: Database, settings: CoreSettings) -> Self:
        """Loads the pack that the settings name and stores its version. Raises PolicyError."""
        packs = cls(open_pack(settings), settings.policies_dir / settings.pack, database.connect)
        await packs._keep(packs.current)
        return packs

    async def load(self, database: Readable, versions: Iterable[str | None]) -> None:
        """Loads these versions for `of`, from the table or else the folder; unknown ones are ignored.

        Raises PolicyError if a stored version is damaged, and asyncpg's errors.
        """
        missing = {version for version in versions if version is not None} - self._known.keys()
        if not missing:
            return
        for row in await database.fetch(QUERIES["read_policy_versions"], sorted(missing)):
            pack = await asyncio.to_thread(_read, row["content"])
            self._known[pack.version] = pack
        if self._not_looked_for(missing):
            await self._look_in_folder(missing)

    def of(self, version: str | None) -> Pack:
        """A loaded version; the current one for None. Raises PackNotHere."""
        if version is None:
            return self.current
        try:
            return self._known[version]
        except KeyError:
            raise PackNotHere(version) from None

    async def find(self, database: Readable, version: str | None) -> Pack:
        """`load`, then `of`. Raises PackNotHere."""
        await self.load(database, [version])
        return self.of(version)

    def _not_looked_for(self, missing: Iterable[str]) -> set[str]:
        """Those of the versions that are not known, and were not looked for in the folder just now."""
        since = time.monotonic() - MISS_SECONDS
        self._missed = {version: moment for version, moment in self._missed.items() if moment > since}
        return {version for version in missing if version not in self._known | self._missed}

    async def _look_in_folder(self, missing: Iterable[str]) -> None:
        """The folder may have changed since this service started, and another one was started on it."""
        async with self._looking:
            wanted = self._not_looked_for(missing)
            if not wanted:
                return
            try:
                pack = await asyncio.to_thread(_load_compiled, self._folder)
            except PolicyError:
                log.exception("the folder of packs cannot be used", folder=str(self._folder))
            else:
                if pack.version in wanted:
                    await self._keep(pack)
            self._missed |= dict.fromkeys(wanted - self._known.keys(), time.monotonic())

    async def _keep(self, pack: Pack) -> None:
        """Stores a version and commits it; only then it is known."""
        connection = await self._connect()
        try:
            # An older release stores a version in a transaction that we may have to wait for.
            text = pack.to_json().decode()
            await connection.execute(QUERIES["keep_policy_version"], pack.version, text, timeout=10)
        finally:
            await connection.close(timeout=10)
        self._known[pack.version] = pack


def open_pack(settings: CoreSettings) -> Pack:
    """The pack that the settings name, loaded once per process. Raises PolicyError with file and line."""
    return _load(settings.policies_dir / settings.pack)


@cache
def _load(folder: Path) -> Pack:
    return load_pack(folder)


def _load_compiled(folder: Path) -> Pack:
    return _compiled(load_pack(folder))


def _read(content: str) -> Pack:
    return _compiled(Pack.from_json(content))


def _compiled(pack: Pack) -> Pack:
    """With its calendar: to build it takes tens of milliseconds, too many for the event loop."""
    pack.calendar  # noqa: B018  (a cached property)
    return pack
