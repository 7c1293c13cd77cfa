"""Whether the files of a pack agree: codes exist and stand once, and a place and day has one rule."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Set
from typing import Any, TypeVar

from shared.policy.dispatch import ANYWHERE, overlap_message, overlaps
from shared.policy.errors import Problem
from shared.policy.sources import Document, Place
from shared.policy.tables import Area, CatalogueRow, Department, Kind, Row, Service

R = TypeVar("R", bound=Row)

# Rows of a CSV file, each with the line on which it begins.
Located = list[tuple[int, R]]


def repeated(file: str, rows: Sequence[tuple[int, R]], key: Callable[[R], Hashable]) -> list[Problem]:
    """Codes that stand on two lines."""
    first: dict[Hashable, int] = {}
    return [
        Problem(file, line, f"{key(row)!r} stands on line {first[key(row)]} already: rename or delete one")
        for line, row in rows
        if first.setdefault(key(row), line) != line
    ]


def unknown_kinds(services: Located[Service], kinds: Iterable[Kind]) -> list[Problem]:
    """Services whose kind is not in kinds.yaml."""
    known = sorted(kind.code for kind in kinds)
    return [
        Problem(
            "services.csv", line, f"kind {row.kind!r} is not in kinds.yaml: use one of {', '.join(known)}"
        )
        for line, row in services
        if row.kind not in known
    ]


def dangling_rules(
    catalogue: Located[CatalogueRow],
    services: Located[Service],
    departments: Located[Department],
    areas: Located[Area],
    broken: Set[str],
) -> Iterator[Problem]:
    """Rules that name a service, unit or area that does not exist, unless its file is `broken` itself."""
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
                yield Problem("catalogue.csv", line, message)


def ambiguous_rules(catalogue: Located[CatalogueRow]) -> list[Problem]:
    """Pairs of rules that answer for the same service, area and day."""
    line_of = {id(row): line for line, row in catalogue}
    return [
        Problem("catalogue.csv", line_of[id(later)], overlap_message(earlier, later))
        for earlier, later in overlaps(row for _, row in catalogue)
    ]


def unknown_sources(file: str, rows: Iterable[tuple[int, Any]], known: Set[str]) -> list[Problem]:
    """Lines of a CSV file whose source is not explained in pack.yaml."""
    return [
        Problem(file, line, _no_source(row.source)) for line, row in rows if _key(row.source) not in known
    ]


def unknown_sources_in(document: Document, known: Set[str]) -> list[Problem]:
    """Places of a YAML file whose source is not explained in pack.yaml."""
    return [
        Problem(document.file, document.line(place), _no_source(text))
        for place, text in _sources(document.data, ())
        if _key(text) not in known
    ]


def _sources(data: Any, place: Place) -> Iterator[tuple[Place, str]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if key == "source" and isinstance(value, str):
            yield (*place, key), value
        else:
            yield from _sources(value, (*place, key))


def _key(source: str) -> str:
    return source.partition(":")[0].strip()


def _no_source(source: str) -> str:
    return f"source {_key(source)!r} is not explained in pack.yaml: add it under `sources`, or correct it"
