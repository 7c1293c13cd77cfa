"""The versions of the pack that a service has seen, each kept in its own table and compiled once per process.

Pure code takes a version, never "the current one": a case keeps the version that it was accepted under.
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

Reader = Connection | asyncpg.Pool


class PackNotHere(CivicloomError):
    """An event or a reader names a version that is neither in the table nor in the folder (yet)."""

    def __init__(self, version: str) -> None:
        super().__init__(f"policy version {version} is not known here: bring the folder of packs up to date")


class Packs:
    """Packs by version. `current` is the folder's at the start: for what is taken in now."""

    def __init__(self, current: Pack, folder: Path) -> None:
        self.current = current
        self._folder = folder
        self._known = {current.version: current}

    @classmethod
    async def open(cls, reader: Reader, settings: CoreSettings) -> Self:
        """With the pack that the settings name, kept before any case can refer to it. Raises PolicyError."""
        packs = cls(open_pack(settings), settings.policies_dir / settings.pack)
        await packs._keep(reader, packs.current)
        return packs

    async def load(self, reader: Reader, versions: Iterable[str | None]) -> None:
        """Makes `of` know these versions where they can be found: in the table, then in the folder."""
        missing = {version for version in versions if version is not None} - self._known.keys()
        if not missing:
            return
        for row in await reader.fetch(QUERIES["read_policy_versions"], sorted(missing)):
            pack = Pack.from_json(row["content"])
            self._known[pack.version] = pack
        if missing - self._known.keys():
            # Another service was started on a folder that has changed since our own start.
            await self._keep(reader, load_pack(self._folder))

    def of(self, version: str | None) -> Pack:
        """A version that was loaded; the current one for None. Raises PackNotHere."""
        if version is None:
            return self.current
        try:
            return self._known[version]
        except KeyError:
            raise PackNotHere(version) from None

    async def find(self, reader: Reader, version: str | None) -> Pack:
        """`load` and `of` in one. Raises PackNotHere."""
        await self.load(reader, [version])
        return self.of(version)

    async def _keep(self, reader: Reader, pack: Pack) -> None:
        await reader.execute(QUERIES["keep_policy_version"], pack.version, pack.to_json().decode())
        self._known[pack.version] = pack


def open_pack(settings: CoreSettings) -> Pack:
    """The pack that the settings name, loaded once. Raises PolicyError with file and line."""
    return _load(settings.policies_dir / settings.pack)


@cache
def _load(folder: Path) -> Pack:
    return load_pack(folder)
