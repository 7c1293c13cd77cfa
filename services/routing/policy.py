"""The pack versions that cases live under, each with its dispatch catalogue compiled."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from shared.packs import Packs, Readable
from shared.policy.dispatch import Catalogue
from shared.policy.model import Pack
from shared.settings import CoreSettings


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

    def __init__(self, packs: Packs) -> None:
        self._packs = packs
        self._compiled: dict[str, Policy] = {}

    @classmethod
    async def open(cls, reader: Readable, settings: CoreSettings) -> Self:
        """With the pack that the settings name. Raises PolicyError for a bad pack."""
        return cls(await Packs.open(reader, settings))

    @property
    def current(self) -> Policy:
        """The folder's pack at the start: for what is not about one case, and events that name no version."""
        return self.of(None)

    async def load(self, reader: Readable, versions: Iterable[str | None]) -> None:
        """Makes `of` know these versions where they can be found."""
        await self._packs.load(reader, versions)

    def of(self, version: str | None) -> Policy:
        """The version of a case. Raises PackNotHere."""
        pack = self._packs.of(version)
        if pack.version not in self._compiled:
            self._compiled[pack.version] = Policy(pack, Catalogue(pack))
        return self._compiled[pack.version]
