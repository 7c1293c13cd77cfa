"""The pack versions that a service has seen: stored in the table `policy_version`, compiled once per process.

Pure code takes a version, never "the current one": a case keeps the version under which it was accepted.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Self

import asyncpg

from shared import sql
from shared.errors import CivicloomError
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import CoreSettings
from shared.unit_of_work.transaction import Connection

QUERIES = sql.load("shared", "packs.sql")

Readable = Connection | asyncpg.Pool
"""A connection or a pool to query."""


class PackNotHere(CivicloomError):
    """A version that is neither in the table nor in the folder of packs (yet)."""

    def __init__(self, version: str) -> None:
        super().__init__(f"policy version {version} is not known here: bring the folder of packs up to date")


class Packs:
    """Packs by version. `current` is the folder's at start, for new cases."""

    def __init__(self, current: Pack, folder: Path) -> None:
        self.current = current
        self._folder = folder
        self._known = {current.version: current}

    @classmethod
    async def open(cls, database: Readable, settings: CoreSettings) -> Self:
        """Loads the pack that the settings name and stores its version. Raises PolicyError."""
        packs = cls(open_pack(settings), settings.policies_dir / settings.pack)
        await packs._keep(database, packs.current)
        return packs

    async def load(self, database: Readable, versions: Iterable[str | None]) -> None:
        """Loads these versions for `of`, from the table or else the folder; unknown ones are ignored."""
        missing = {version for version in versions if version is not None} - self._known.keys()
        if not missing:
            return
        for row in await database.fetch(QUERIES["read_policy_versions"], sorted(missing)):
            pack = Pack.from_json(row["content"])
            self._known[pack.version] = pack
        if missing - self._known.keys():
            # The folder has changed since this service started, and another one was started on it.
            await self._keep(database, load_pack(self._folder))

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

    async def _keep(self, database: Readable, pack: Pack) -> None:
        await database.execute(QUERIES["keep_policy_version"], pack.version, pack.to_json().decode())
        self._known[pack.version] = pack


def open_pack(settings: CoreSettings) -> Pack:
    """The pack that the settings name, loaded once per process. Raises PolicyError with file and line."""
    return _load(settings.policies_dir / settings.pack)


@cache
def _load(folder: Path) -> Pack:
    return load_pack(folder)
