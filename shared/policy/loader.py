"""Loading a pack from its folder. Every fault is collected, so that an author mends all of them in one go."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.policy.calendar_table import CalendarTable
from shared.policy.errors import PolicyError, Problem
from shared.policy.model import Pack, missing_clocks
from shared.policy.references import (
    Located,
    ambiguous_rules,
    dangling_rules,
    repeated,
    unknown_kinds,
    unknown_sources,
    unknown_sources_in,
)
from shared.policy.sources import Document, Place, read_csv, read_yaml
from shared.policy.tables import (
    Area,
    CatalogueRow,
    Clock,
    Department,
    Head,
    Kind,
    Limits,
    Row,
    Service,
)

R = TypeVar("R", bound=Row)

# Columns that hold several values, separated by semicolons.
LISTS = frozenset({"keywords", "co"})


def load_pack(folder: Path) -> Pack:
    """The pack in a folder: pack.yaml, kinds.yaml, clocks.yaml, calendar.yaml, services.csv, departments.csv,
    catalogue.csv and, if the place has areas, areas.csv.

    Raises PolicyError with all faults found, each with file, line and what to do.
    """
    problems: list[Problem] = []
    head_file, kinds_file, clocks_file, calendar_file = documents = [
        read_yaml(folder / name, problems)
        for name in ("pack.yaml", "kinds.yaml", "clocks.yaml", "calendar.yaml")
    ]
    head = _one(head_file, Head, problems)
    kinds = _keyed(kinds_file, Kind, problems)
    limits = _one(_part(clocks_file, "limits"), Limits, problems, ("limits",))
    clocks = _keyed(_part(clocks_file, "clocks"), Clock, problems, ("clocks",))
    problems += _unknown_parts(clocks_file, ("limits", "clocks"))
    calendar = _one(calendar_file, CalendarTable, problems)
    services = _rows(folder / "services.csv", Service, problems, needed=True)
    departments = _rows(folder / "departments.csv", Department, problems, needed=True)
    catalogue = _rows(folder / "catalogue.csv", CatalogueRow, problems)
    areas = _rows(folder / "areas.csv", Area, problems) if (folder / "areas.csv").exists() else []

    # What refers to a table that has faults itself is not judged: each of its rows would repeat them.
    broken = {problem.file for problem in problems}
    if "clocks.yaml" not in broken:
        problems += [
            Problem("clocks.yaml", clocks_file.line(("clocks",)), f"there is no clock {code!r}: add it")
            for code in missing_clocks(clocks)
        ]
    problems += repeated("services.csv", services, lambda row: row.service_code)
    problems += repeated("departments.csv", departments, lambda row: row.code)
    problems += repeated("areas.csv", areas, lambda row: row.code)
    problems += repeated("catalogue.csv", catalogue, lambda row: row.rule_id)
    if "kinds.yaml" not in broken:
        problems += unknown_kinds(services, kinds)
    problems += dangling_rules(catalogue, services, departments, areas, broken)
    problems += ambiguous_rules(catalogue)
    if explained := set(_part(head_file, "sources").data or ()):
        for document in documents:
            problems += unknown_sources_in(document, explained)
        problems += unknown_sources("services.csv", services, explained)
        problems += unknown_sources("departments.csv", departments, explained)
        problems += unknown_sources("areas.csv", areas, explained)
        problems += unknown_sources("catalogue.csv", catalogue, explained)
    if head is not None and head.name != folder.resolve().name:
        message = (
            f"the pack is called {head.name!r}, its folder {folder.resolve().name!r}: give both one name"
        )
        problems.append(Problem(head_file.file, head_file.line(("name",)), message))
    if problems:
        raise PolicyError(problem._replace(file=f"{folder}/{problem.file}") for problem in problems)
    return Pack.of(
        {
            **dict(head or ()),
            "kinds": kinds,
            "clocks": clocks,
            "limits": limits,
            "calendar_table": calendar,
            "services": [row for _, row in services],
            "departments": [row for _, row in departments],
            "areas": [row for _, row in areas],
            "catalogue": [row for _, row in catalogue],
        }
    )


def _part(document: Document, key: str) -> Document:
    if document.data is None:
        return document
    part = document.data.get(key)
    return document._replace(data=part if isinstance(part, dict) else {})


def _one(document: Document, model: type[R], problems: list[Problem], within: Place = ()) -> R | None:
    if document.data is None:
        return None
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems += problems_of(error, document, within)
        return None


def _keyed(document: Document, model: type[R], problems: list[Problem], within: Place = ()) -> list[R]:
    """The rows of a YAML mapping from code to the rest of the row."""
    found = []
    for code, body in document.data.items() if isinstance(document.data, dict) else ():
        row = body | {"code": code} if isinstance(body, dict) else body
        valid = _one(document._replace(data=row), model, problems, (*within, code))
        if valid is not None:
            found.append(valid)
    if not found and not problems:
        problems.append(
            Problem(document.file, document.line(within), "nothing is listed here: a pack needs some")
        )
    return found


def _unknown_parts(document: Document, known: Sequence[str]) -> list[Problem]:
    return [
        Problem(document.file, document.line((key,)), f"{key} is unknown: correct its spelling or remove it")
        for key in document.data or ()
        if key not in known
    ]


def _rows(path: Path, model: type[R], problems: list[Problem], *, needed: bool = False) -> Located[R]:
    """The rows of a CSV file, of which there must be some if they are `needed`."""
    found = []
    before = len(problems)
    columns = {name: field.is_required() for name, field in model.model_fields.items()}
    for line, cells in read_csv(path, columns, problems):
        row: dict[str, Any] = {
            name: [part.strip() for part in cell.split(";")] if name in LISTS else cell
            for name, cell in cells.items()
        }
        try:
            found.append((line, model.model_validate(row)))
        except ValidationError as error:
            problems += [Problem(path.name, line, _sentence(detail)) for detail in error.errors()]
    if needed and not found and len(problems) == before:
        problems.append(Problem(path.name, 1, "nothing is listed here: a pack needs some"))
    return found


def problems_of(error: ValidationError, document: Document, within: Place = ()) -> list[Problem]:
    """What a model refuses in a document, with lines; `within` is the place of the part it was given."""
    return [
        Problem(document.file, document.line((*within, *detail["loc"])), _sentence(detail))
        for detail in error.errors()
    ]


def _sentence(detail: ErrorDetails) -> str:
    where = ".".join(map(str, detail["loc"])) or "the row"
    match detail["type"]:
        case "missing":
            return f"{where} is missing: add it"
        case "extra_forbidden":
            return f"{where} is unknown: correct its spelling or remove it"
        case "value_error":
            return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{where} is {detail['input']!r}: {detail['msg']}"
