"""Names of codes, from the pack in force; a code that it no longer has is shown as itself."""

from shared.policy.model import Pack
from shared.policy.tables import Named


class Names:
    """For templates: the name of a unit, service or area in the reader's language."""

    def __init__(self, pack: Pack, language: str) -> None:
        self._pack = pack
        self._language = language

    def unit(self, code: str | None) -> str:
        return self._name(self._pack.departments_by_code.get(code or ""), code)

    def service(self, code: str | None) -> str:
        return self._name(self._pack.services_by_code.get(code or ""), code)

    def area(self, code: str | None) -> str:
        return self._name(self._pack.areas_by_code.get(code or ""), code)

    def units(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """All units by their kind, each as code and name, for a list to choose from."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for unit in self._pack.departments:
            groups.setdefault(unit.kind, []).append((unit.code, self.unit(unit.code)))
        return list(groups.items())

    def _name(self, row: Named | None, code: str | None) -> str:
        return row.in_language(self._language) if row is not None else code or ""
