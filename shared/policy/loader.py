"""Loading a pack from its folder. All faults are collected, so that an author can correct them together."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.policy.calendar_table import CalendarTable
from shared.policy.errors import Fault, PolicyError
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
from shared.policy.sources import Document, KeyPath, read_csv, read_yaml
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


@dataclass(frozen=True, slots=True)
class _Draft:
    """The tables of a folder, each row valid by itself; None or fewer rows where there were faults."""

    head_file: Document
    clocks_file: Document
    documents: tuple[Document, ...]
    head: Head | None
    kinds: list[Kind]
    clocks: list[Clock]
    limits: Limits | None
    calendar: CalendarTable | None
    services: Located[Service]
    departments: Located[Department]
    areas: Located[Area]
    catalogue: Located[CatalogueRow]


def load_pack(folder: Path) -> Pack:
    """The pack in a folder.

    The folder holds pack.yaml, kinds.yaml, clocks.yaml, calendar.yaml, services.csv, departments.csv,
    catalogue.csv and, if the place has areas, areas.csv.

    Raises
    ------
    PolicyError
        with all faults found, each with file, line and how to correct it.
    """
    faults: list[Fault] = []
    draft = _read(folder, faults)
    faults += _disagreements(draft, {fault.file for fault in faults})
    faults += _wrong_name(draft, folder.resolve().name)
    if faults:
        raise PolicyError(fault._replace(file=f"{folder}/{fault.file}") for fault in faults)
    return Pack.of(
        {
            **dict(draft.head or ()),
            "kinds": draft.kinds,
            "clocks": draft.clocks,
            "limits": draft.limits,
            "calendar_table": draft.calendar,
            "services": [row for _, row in draft.services],
            "departments": [row for _, row in draft.departments],
            "areas": [row for _, row in draft.areas],
            "catalogue": [row for _, row in draft.catalogue],
        }
    )


def faults_of(error: ValidationError, document: Document, within: KeyPath = ()) -> list[Fault]:
    """The faults that a model found in a document, with their lines.

    `within` is the path in the document of the part that the model was given.
    """
    return [
        Fault(document.file, document.line((*within, *detail["loc"])), _sentence(detail))
        for detail in error.errors()
    ]


def _read(folder: Path, faults: list[Fault]) -> _Draft:
    head_file, kinds_file, clocks_file, calendar_file = documents = tuple(
        read_yaml(folder / name, faults)
        for name in ("pack.yaml", "kinds.yaml", "clocks.yaml", "calendar.yaml")
    )
    head = _one(head_file, Head, faults)
    kinds = _keyed(kinds_file, Kind, faults)
    limits = _one(_part(clocks_file, "limits"), Limits, faults, ("limits",))
    clocks = _keyed(_part(clocks_file, "clocks"), Clock, faults, ("clocks",))
    faults += _unknown_parts(clocks_file, ("limits", "clocks"))
    return _Draft(
        head_file=head_file,
        clocks_file=clocks_file,
        documents=documents,
        head=head,
        kinds=kinds,
        clocks=clocks,
        limits=limits,
        calendar=_one(calendar_file, CalendarTable, faults),
        services=_rows(folder / "services.csv", Service, faults, needed=True),
        departments=_rows(folder / "departments.csv", Department, faults, needed=True),
        catalogue=_rows(folder / "catalogue.csv", CatalogueRow, faults),
        areas=_rows(folder / "areas.csv", Area, faults) if (folder / "areas.csv").exists() else [],
    )


def _disagreements(draft: _Draft, broken: Set[str]) -> Iterator[Fault]:
    """Faults between files, except references into `broken` files: each row would repeat their faults."""
    if "clocks.yaml" not in broken:
        for code in missing_clocks(draft.clocks):
            line = draft.clocks_file.line(("clocks",))
            yield Fault("clocks.yaml", line, f"there is no clock {code!r}: add it")
    yield from repeated("services.csv", draft.services, lambda row: row.service_code)
    yield from repeated("departments.csv", draft.departments, lambda row: row.code)
    yield from repeated("areas.csv", draft.areas, lambda row: row.code)
    yield from repeated("catalogue.csv", draft.catalogue, lambda row: row.rule_id)
    if "kinds.yaml" not in broken:
        yield from unknown_kinds(draft.services, draft.kinds)
    yield from dangling_rules(draft.catalogue, draft.services, draft.departments, draft.areas, broken)
    yield from ambiguous_rules(draft.catalogue)
    if explained := set(_part(draft.head_file, "sources").data or ()):
        for document in draft.documents:
            yield from unknown_sources_in(document, explained)
        yield from unknown_sources("services.csv", draft.services, explained)
        yield from unknown_sources("departments.csv", draft.departments, explained)
        yield from unknown_sources("areas.csv", draft.areas, explained)
        yield from unknown_sources("catalogue.csv", draft.catalogue, explained)


def _wrong_name(draft: _Draft, folder: str) -> Iterator[Fault]:
    if draft.head is not None and draft.head.name != folder:
        message = f"the pack is called {draft.head.name!r}, its folder {folder!r}: give both one name"
        yield Fault(draft.head_file.file, draft.head_file.line(("name",)), message)


def _part(document: Document, key: str) -> Document:
    if document.data is None:
        return document
    part = document.data.get(key)
    return document._replace(data=part if isinstance(part, dict) else {})


def _one(document: Document, model: type[R], faults: list[Fault], within: KeyPath = ()) -> R | None:
    if document.data is None:
        return None
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        faults += faults_of(error, document, within)
        return None


def _keyed(document: Document, model: type[R], faults: list[Fault], within: KeyPath = ()) -> list[R]:
    """The rows of a YAML mapping from code to the rest of the row."""
    found = []
    for code, body in document.data.items() if isinstance(document.data, dict) else ():
        row = body | {"code": code} if isinstance(body, dict) else body
        valid = _one(document._replace(data=row), model, faults, (*within, code))
        if valid is not None:
            found.append(valid)
    if not found and not faults:
        faults.append(
            Fault(document.file, document.line(within), "nothing is listed here: a pack needs some")
        )
    return found


def _unknown_parts(document: Document, known: Sequence[str]) -> list[Fault]:
    return [
        Fault(document.file, document.line((key,)), f"{key} is unknown: correct its spelling or remove it")
        for key in document.data or ()
        if key not in known
    ]


def _rows(path: Path, model: type[R], faults: list[Fault], *, needed: bool = False) -> Located[R]:
    """The valid rows of a CSV file; none at all is a fault if they are `needed`."""
    found = []
    before = len(faults)
    columns = {name: field.is_required() for name, field in model.model_fields.items()}
    for line, cells in read_csv(path, columns, faults):
        row: dict[str, Any] = {
            name: [part.strip() for part in cell.split(";")] if name in LISTS else cell
            for name, cell in cells.items()
        }
        try:
            found.append((line, model.model_validate(row)))
        except ValidationError as error:
            faults += [Fault(path.name, line, _sentence(detail)) for detail in error.errors()]
    if needed and not found and len(faults) == before:
        faults.append(Fault(path.name, 1, "nothing is listed here: a pack needs some"))
    return found


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
