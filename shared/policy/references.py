"""Checks across the files of a pack: codes exist and are unique, and one rule applies to an area and day."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Set
from typing import Any, TypeVar

from shared.policy.dispatch import ANYWHERE, overlap_message, overlaps
from shared.policy.errors import Fault
from shared.policy.sources import Document, KeyPath
from shared.policy.tables import Area, CatalogueRow, Department, Kind, Row, Service

R = TypeVar("R", bound=Row)

Located = list[tuple[int, R]]
"""Rows of a CSV file, each with the line on which it begins."""


def repeated(file: str, rows: Sequence[tuple[int, R]], key: Callable[[R], Hashable]) -> list[Fault]:
    """Codes that occur on more than one line; `key` gives the code of a row."""
    first: dict[Hashable, int] = {}
    return [
        Fault(file, line, f"{key(row)!r} is already on line {first[key(row)]}: rename or delete one")
        for line, row in rows
        if first.setdefault(key(row), line) != line
    ]


def unknown_kinds(services: Located[Service], kinds: Iterable[Kind]) -> list[Fault]:
    """Services whose kind is not in kinds.yaml."""
    known = sorted(kind.code for kind in kinds)
    return [
        Fault("services.csv", line, f"kind {row.kind!r} is not in kinds.yaml: use one of {', '.join(known)}")
        for line, row in services
        if row.kind not in known
    ]


def dangling_rules(
    catalogue: Located[CatalogueRow],
    services: Located[Service],
    departments: Located[Department],
    areas: Located[Area],
    broken: Set[str],
) -> Iterator[Fault]:
    """Rules that name a service, unit or area that does not exist, except in files that are `broken`."""
    known_services = {row.service_code for _, row in services}
    known_departments = {row.code for _, row in departments}
    known_areas = {row.code for _, row in areas} | {ANYWHERE}
    for line, row in catalogue:
        wanted = [
            ("service_code", row.service_code, known_services, "services.csv"),
            ("area", row.area, known_areas, "areas.csv"),
            *(("lead or co", code, known_departments, "departments.csv") for code in (row.lead, *row.co)),
        ]
        for column, code, known, file in wanted:
            if code not in known and file not in broken:
                message = f"{column} {code!r} is not in {file}: add it there or correct it"
                yield Fault("catalogue.csv", line, message)


def ambiguous_rules(catalogue: Located[CatalogueRow]) -> list[Fault]:
    """Pairs of rules that apply to the same service, area and day."""
    line_of = {id(row): line for line, row in catalogue}
    return [
        Fault("catalogue.csv", line_of[id(later)], overlap_message(earlier, later))
        for earlier, later in overlaps(row for _, row in catalogue)
    ]


def unknown_sources(file: str, rows: Iterable[tuple[int, Any]], known: Set[str]) -> list[Fault]:
    """Lines of a CSV file whose source is not explained in pack.yaml."""
    return [Fault(file, line, _no_source(row.source)) for line, row in rows if _key(row.source) not in known]


def unknown_sources_in(document: Document, known: Set[str]) -> list[Fault]:
    """Values of a YAML file whose source is not explained in pack.yaml."""
    return [
        Fault(document.file, document.line(path), _no_source(text))
        for path, text in _sources(document.data, ())
        if _key(text) not in known
    ]


def _sources(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if key == "source" and isinstance(value, str):
            yield (*path, key), value
        else:
            yield from _sources(value, (*path, key))


def _key(source: str) -> str:
    return source.partition(":")[0].strip()


def _no_source(source: str) -> str:
    return f"source {_key(source)!r} is not explained in pack.yaml: add it under `sources`, or correct it"
