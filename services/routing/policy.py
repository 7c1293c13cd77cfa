"""The pack versions that cases live under: kept in our table, compiled once, read from the folder if new."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.routing import queries
from shared.errors import CivicloomError
from shared.policy.dispatch import Catalogue
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.transaction import Connection


class PolicyNotHere(CivicloomError):
    """An event names a version of the pack that we have neither in the table nor in the folder (yet)."""

    def __init__(self, version: str) -> None:
        super().__init__(f"policy version {version} is not known here: bring the folder of packs up to date")


@dataclass(frozen=True, slots=True)
class Policy:
    """One version, with its dispatch catalogue compiled."""

    pack: Pack
    catalogue: Catalogue

    def department_has_topic(self, unit: str) -> bool:
        """Whether the unit reads its cases from Kafka; the others use the desk."""
        department = self.pack.departments_by_code.get(unit)
        return department is not None and department.kafka


class Policies:
    """Every version seen. A case keeps the version that it was accepted under."""

    def __init__(self, folder: Path, current: Pack) -> None:
        self._folder = folder
        self._current = current.version
        self._known: dict[str, Policy] = {}
        self._learn(current)

    @classmethod
    async def open(cls, connection: Connection, folder: Path) -> "Policies":
        """With the pack of the folder, which is kept in the table. Raises PolicyError for a bad pack."""
        pack = load_pack(folder)
        await queries.keep_policy_version(connection, pack.version, pack.to_json().decode())
        return cls(folder, pack)

    @property
    def current(self) -> Policy:
        """The folder's pack at the start: for what is not about one case, and events that name no version."""
        return self._known[self._current]

    async def load(self, connection: Connection, versions: Iterable[str | None]) -> None:
        """Makes `of` know these versions where they can be found: in the table, then in the folder."""
        missing = {version for version in versions if version is not None} - self._known.keys()
        if not missing:
            return
        for content in await queries.policy_versions(connection, sorted(missing)):
            self._learn(Pack.from_json(content))
        if missing - self._known.keys():
            # inquiry was started anew on a folder that has changed since our own start.
            pack = load_pack(self._folder)
            await queries.keep_policy_version(connection, pack.version, pack.to_json().decode())
            self._learn(pack)

    def of(self, version: str | None) -> Policy:
        """The version of a case. Raises PolicyNotHere."""
        if version is None:
            return self.current
        try:
            return self._known[version]
        except KeyError:
            raise PolicyNotHere(version) from None

    def _learn(self, pack: Pack) -> None:
        self._known[pack.version] = Policy(pack, Catalogue(pack))
