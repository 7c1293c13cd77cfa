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
    """A row that cannot be taken: its line, why, and its id in the source if it has one."""

    line: int
    reason: str
    external_id: str


class Untakeable(ValueError):
    """Why a row cannot be taken, in a sentence."""


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of one of the pack's tables, and the names that stand for exactly one of them."""

    what: str
    known: frozenset[str]
    by_name: dict[str, str]

    @classmethod
    def of(cls, what: str, rows: Iterable[tuple[str, str]]) -> "Codes":
        rows = list(rows)
        names = [name for _, name in rows]
        by_name = {name: code for code, name in rows if names.count(name) == 1}
        return cls(what, frozenset(code for code, _ in rows), by_name)

    def resolve(self, choice: Choice, cells: dict[str, str]) -> str | None:
        """The code for a row; None for an empty cell. Raises Untakeable for one that means nothing."""
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
        raise Untakeable(f"{choice.column} is {_short(cell)}: the pack has no such {self.what}")


class Translator:
    """Compiled once for an import. Raises PolicyError if the mapping names codes that the pack lacks."""

    def __init__(self, mapping: Mapping, document: Document, pack: Pack) -> None:
        self.mapping = mapping
        self.pack = pack
        self._services = Codes.of("service", ((s.service_code, s.name) for s in pack.services))
        self._units = Codes.of("department", ((d.code, d.name) for d in pack.departments))
        self._areas = Codes.of("area", ((a.code, a.name) for a in pack.areas))
        problems = [
            *_unknown(mapping.service, "service", self._services, document, pack),
            *_unknown(mapping.hint, "hint", self._units, document, pack),
            *_unknown(mapping.area, "area", self._areas, document, pack),
        ]
        if problems:
            raise PolicyError(problems)
        self._moment = _moment_reader(mapping.time) if mapping.time else None

    def external_id(self, record: Record) -> str:
        """The row's id in the source. Raises Untakeable if it has none that can be kept."""
        found = record.cells.get(self.mapping.id, "")
        if not found.strip():
            raise Untakeable(f"{self.mapping.id} is empty: without an id a row could be taken twice")
        if "\0" in found or len(found) > MAX_ID:
            raise Untakeable(f"{self.mapping.id} holds NUL or has more than {MAX_ID} characters")
        return found

    def concern(self, record: Record, external_id: str) -> Concern:
        """What intake takes. Raises Untakeable with the first reason why not."""
        mapping, cells = self.mapping, record.cells
        service = self._services.resolve(mapping.service, cells)
        if service is None:
            raise Untakeable(f"{mapping.service.column} is empty: it tells the service")
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
        # What is no longer offered may well have been asked for when the source took it.
        for flaw in flaws_of(concern, self.pack, offered_only=False):
            raise Untakeable(flaw.detail)
        return concern

    def _words(self, cells: dict[str, str]) -> InquiryWords:
        mapping = self.mapping
        latitude, longitude = position_of(mapping.position, cells) if mapping.position else (None, None)
        title, text = mapping.title.fill(cells), mapping.text.fill(cells)
        for member, said in (("title", title), ("text", text)):
            if not said.strip():
                raise Untakeable(f"the {member} is empty")
        try:
            return InquiryWords(
                title=title,
                text=text,
                place=(mapping.place.fill(cells) or None) if mapping.place else None,
                latitude=latitude,
                longitude=longitude,
            )
        except ValidationError as error:
            raise Untakeable(_fault(error)) from error


def _fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    member = ".".join(map(str, fault["loc"]))
    match fault["type"]:
        case "too_long":
            return f"the {member} is longer than {fault['ctx']['max_length']} characters"
        case _:
            return f"the {member}: {fault['msg'].removeprefix('Value error, ')}"


def position_of(position: Position, cells: dict[str, str]) -> tuple[float | None, float | None]:
    """Latitude and longitude in degrees, or None for both where they are missing or nonsense.

    A row is worth taking without its position: what is outside the mapping's box is left out.
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
                # An hour that the clocks skip or repeat is read with the offset before the change (PEP 495).
                return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(dt.UTC)
            except (ValueError, OverflowError):
                continue
        raise Untakeable(f"{time.column} is {_short(cell)}: no moment by any of the mapping's formats")

    return read


def _unknown(
    choice: Choice | None, name: str, codes: Codes, document: Document, pack: Pack
) -> Iterable[Fault]:
    if choice is None:
        return
    told: dict[tuple[str, ...], str | None] = {
        (name, "constant"): choice.constant,
        (name, "otherwise"): choice.otherwise,
        **{(name, "values", cell): code for cell, code in choice.values.items()},
    }
    for place, code in told.items():
        if code is not None and code not in codes.known:
            message = f"{code!r} is no {codes.what} of the pack {pack.version}"
            yield Fault(document.file, document.line(place), message)


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:60] + "…")
