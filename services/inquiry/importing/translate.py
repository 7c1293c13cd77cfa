"""From a record to a concern, by the mapping and the pack: pure."""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from services.inquiry.domain.concern import Concern, flaws_of
from services.inquiry.importing.mapping import ISO, Choice, Mapping, OriginalTime, Position
from services.inquiry.importing.records import Record
from shared.contracts.inquiry import CaseKind, InquiryWords
from shared.policy.errors import Fault, PolicyError
from shared.policy.model import Pack
from shared.policy.sources import Document

MAX_ID = 200
"""Characters of an external id (`Code` of the contract)."""


class Rejection(NamedTuple):
    """A rejected row: its line, the reason, and its id in the source (empty if it has none)."""

    line: int
    reason: str
    external_id: str


class UnusableRow(ValueError):
    """A row that cannot be taken in; the message is the reason."""


@dataclass(frozen=True, slots=True)
class CodeTable:
    """The codes of one of the pack's tables, and the names that belong to exactly one of them.

    `what` is the word for such a code in messages.
    """

    what: str
    known: frozenset[str]
    by_name: dict[str, str]

    @classmethod
    def of(cls, what: str, rows: Iterable[tuple[str, str]]) -> "CodeTable":
        rows = list(rows)
        names = [name for _, name in rows]
        by_name = {name: code for code, name in rows if names.count(name) == 1}
        return cls(what, frozenset(code for code, _ in rows), by_name)

    def resolve(self, choice: Choice, cells: dict[str, str]) -> str | None:
        """The code for a row; None for an empty cell. Raises UnusableRow for a cell that matches no code."""
        if choice.column is None:
            return choice.constant
        cell = cells.get(choice.column, "")
        if not cell:
            return choice.otherwise
        code = choice.values.get(cell)
        if code is None:
            code = self.by_name.get(cell) if choice.by == "name" else cell
        if code in self.known:
            return code
        if choice.otherwise is not None:
            return choice.otherwise
        raise UnusableRow(f"{choice.column} is {_short(cell)}: the pack has no such {self.what}")


class Translator:
    """Turns records into concerns. Compiled once for an import."""

    def __init__(self, mapping: Mapping, document: Document, pack: Pack) -> None:
        """`document` is the mapping's own file: it gives the lines of faults.

        Raises PolicyError if the mapping names codes that the pack lacks.
        """
        self.mapping = mapping
        self.pack = pack
        self._services = CodeTable.of("service", ((s.service_code, s.name) for s in pack.services))
        self._units = CodeTable.of("department", ((d.code, d.name) for d in pack.departments))
        self._areas = CodeTable.of("area", ((a.code, a.name) for a in pack.areas))
        problems = [
            *_unknown(mapping.service, "service", self._services, document, pack),
            *_unknown(mapping.hint, "hint", self._units, document, pack),
            *_unknown(mapping.area, "area", self._areas, document, pack),
        ]
        if problems:
            raise PolicyError(problems)
        self._moment = _moment_reader(mapping.time) if mapping.time else None

    def external_id(self, record: Record) -> str:
        """The row's id in the source. Raises UnusableRow if it has none that can be stored."""
        found = record.cells.get(self.mapping.id, "")
        if not found.strip():
            raise UnusableRow(f"{self.mapping.id} is empty: without an id a row could be taken twice")
        if "\0" in found or len(found) > MAX_ID:
            raise UnusableRow(f"{self.mapping.id} holds NUL or has more than {MAX_ID} characters")
        return found

    def concern(self, record: Record, external_id: str) -> Concern:
        """The concern for intake. Raises UnusableRow with the first reason found."""
        mapping, cells = self.mapping, record.cells
        service = self._services.resolve(mapping.service, cells)
        if service is None:
            raise UnusableRow(f"{mapping.service.column} is empty: it names the service")
        concern = Concern(
            words=self._words(cells),
            kind=mapping.kind or cast(CaseKind, self.pack.service(service).kind),
            service_code=service,
            channel="import",
            area=self._areas.resolve(mapping.area, cells) if mapping.area else None,
            visibility=mapping.visibility,
            external_source=mapping.source,
            external_id=external_id,
            original_time=self._moment(cells) if self._moment else None,
            hint=self._units.resolve(mapping.hint, cells) if mapping.hint else None,
            notify=False,
        )
        # A service that is no longer offered may have been offered when the source took the request.
        for flaw in flaws_of(concern, self.pack, offered_only=False):
            raise UnusableRow(flaw.detail)
        return concern

    def _words(self, cells: dict[str, str]) -> InquiryWords:
        mapping = self.mapping
        latitude, longitude = position_of(mapping.position, cells) if mapping.position else (None, None)
        title, text = mapping.title.fill(cells), mapping.text.fill(cells)
        for member, value in (("title", title), ("text", text)):
            if not value.strip():
                raise UnusableRow(f"the {member} is empty")
        try:
            return InquiryWords(
                title=title,
                text=text,
                place=(mapping.place.fill(cells) or None) if mapping.place else None,
                latitude=latitude,
                longitude=longitude,
            )
        except ValidationError as error:
            raise UnusableRow(_fault(error)) from error


def _fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    member = ".".join(map(str, fault["loc"]))
    match fault["type"]:
        case "too_long":
            return f"the {member} is longer than {fault['ctx']['max_length']} characters"
        case _:
            return f"the {member}: {fault['msg'].removeprefix('Value error, ')}"


def position_of(position: Position, cells: dict[str, str]) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees; None for both if they are missing or outside the mapping's box.

    A row without a position is still worth taking in.
    """
    try:
        latitude, longitude = float(cells[position.latitude]), float(cells[position.longitude])
    except (KeyError, ValueError):
        return None, None
    inside = position.south <= latitude <= position.north and position.west <= longitude <= position.east
    return (latitude, longitude) if inside else (None, None)


def _moment_reader(time: OriginalTime) -> Callable[[dict[str, str]], dt.datetime | None]:
    zone = ZoneInfo(time.timezone)

    def read(cells: dict[str, str]) -> dt.datetime | None:
        cell = cells.get(time.column, "")
        if not cell:
            return None
        for form in time.formats:
            try:
                found = dt.datetime.fromisoformat(cell) if form == ISO else dt.datetime.strptime(cell, form)  # noqa: DTZ007  (the zone follows)
                # A time that a clock change skips or repeats gets the offset before the change (PEP 495).
                return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(dt.UTC)
            except (ValueError, OverflowError):
                continue
        raise UnusableRow(f"{time.column} is {_short(cell)}: the time has none of the mapping's formats")

    return read


def _unknown(
    choice: Choice | None, name: str, codes: CodeTable, document: Document, pack: Pack
) -> Iterable[Fault]:
    if choice is None:
        return
    named: dict[tuple[str, ...], str | None] = {
        (name, "constant"): choice.constant,
        (name, "otherwise"): choice.otherwise,
        **{(name, "values", cell): code for cell, code in choice.values.items()},
    }
    for path, code in named.items():
        if code is not None and code not in codes.known:
            message = f"{code!r} is no {codes.what} of the pack {pack.version}"
            yield Fault(document.file, document.line(path), message)


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:60] + "…")
