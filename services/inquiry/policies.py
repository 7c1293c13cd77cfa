"""The versions of the pack: the one in force, and those that cases were accepted under."""

import asyncpg

from services.inquiry.domain.case import Case
from services.inquiry.queries import QUERIES
from shared.database import Database
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import CoreSettings
from shared.transaction import Connection


class Policies:
    """Packs by version, each parsed once per process. `current` is for what is taken in now."""

    def __init__(self, current: Pack) -> None:
        self.current = current
        self._known = {current.version: current}

    @classmethod
    async def open(cls, database: Database, settings: CoreSettings) -> "Policies":
        """Loads the pack that the settings name and keeps its version before any case can refer to it.

        Raises PolicyError for a bad pack.
        """
        policies = cls(load_pack(settings.policies_dir / settings.pack))
        await policies.keep(database.pool)
        return policies

    async def keep(self, connection: Connection | asyncpg.Pool) -> None:
        """Stores the current version if it is new."""
        await connection.execute(
            QUERIES["keep_policy"], self.current.version, self.current.to_json().decode()
        )

    async def of(self, connection: Connection | asyncpg.Pool, versions: set[str]) -> dict[str, Pack]:
        """The packs of these versions. Raises KeyError for one that was never kept."""
        missing = versions - self._known.keys()
        if missing:
            for row in await connection.fetch(QUERIES["read_policies"], sorted(missing)):
                self._known[row["version"]] = Pack.from_json(row["content"])
        return {version: self._known[version] for version in versions}

    async def of_case(self, connection: Connection | asyncpg.Pool, case: Case) -> Pack:
        """The version that the case was accepted under, or the current one if it is not accepted yet."""
        if case.policy_version is None:
            return self.current
        return (await self.of(connection, {case.policy_version}))[case.policy_version]
