"""The dispatch catalogue (派单目录) compiled into a look-up: service and area to lead and co-handlers."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from shared.policy.errors import Fault, PolicyError
from shared.policy.model import Pack
from shared.policy.tables import CatalogueRow

ANYWHERE = "*"


class Match(NamedTuple):
    """The units that get a case: one lead (主办), which answers, and co-handlers (协办).

    `rule_id` names the row of the catalogue.
    """

    lead: str
    co: tuple[str, ...]
    rule_id: str


class NoMatch(NamedTuple):
    """Why the catalogue does not place a case, which therefore goes to triage."""

    reason: Literal["unknown_service", "no_rule", "no_rule_for_area", "no_rule_in_force"]


class _Dated(NamedTuple):
    first: dt.date
    last: dt.date
    match: Match


class Catalogue:
    """The dispatch catalogue of one pack version.

    Raises
    ------
    PolicyError
        if two rows of `pack` apply to the same service, area and day.
    """

    def __init__(self, pack: Pack) -> None:
        faults = [Fault("catalogue.csv", None, overlap_message(*pair)) for pair in overlaps(pack.catalogue)]
        if faults:
            raise PolicyError(faults)
        self._rows: dict[str, dict[str, list[_Dated]]] = {
            service.service_code: {} for service in pack.services
        }
        for row in pack.catalogue:
            dated = _Dated(row.valid_from, row.valid_to, Match(row.lead, row.co, row.rule_id))
            self._rows[row.service_code].setdefault(row.area, []).append(dated)

    def match(self, service_code: str, area: str | None, on: dt.date) -> Match | NoMatch:
        """The row in force on a day; a row for the area overrides one for anywhere (`*`).

        Parameters
        ----------
        service_code
            The code of a service; a code that the pack does not have is not an error but `NoMatch`.
        area
            The code of the area where the case lies; None if unknown, so that only rows for anywhere apply.
        on
            The local day in the pack's time zone; a row is in force from `valid_from` to `valid_to`, both
            inclusive.
        """
        areas = self._rows.get(service_code)
        if areas is None:
            return NoMatch("unknown_service")
        if not areas:
            return NoMatch("no_rule")
        exact = areas.get(area, ()) if area is not None else ()
        anywhere = areas.get(ANYWHERE, ())
        for candidates in (exact, anywhere):
            for first, last, match in candidates:
                if first <= on <= last:
                    return match
        return NoMatch("no_rule_in_force" if exact or anywhere else "no_rule_for_area")


def overlaps(rows: Iterable[CatalogueRow]) -> Iterator[tuple[CatalogueRow, CatalogueRow]]:
    """Pairs of rows that apply to the same service, area and day."""
    groups: defaultdict[tuple[str, str], list[CatalogueRow]] = defaultdict(list)
    for row in rows:
        groups[row.service_code, row.area].append(row)
    for group in groups.values():
        group.sort(key=lambda row: row.valid_from)
        longest = group[0]
        for row in group[1:]:
            if row.valid_from <= longest.valid_to:
                yield longest, row
            longest = max(longest, row, key=lambda row: row.valid_to)


def overlap_message(earlier: CatalogueRow, later: CatalogueRow) -> str:
    """The message for two rows that overlap."""
    return (
        f"rules {earlier.rule_id} and {later.rule_id} both answer for service {later.service_code!r} in area "
        f"{later.area!r} on {later.valid_from}: end the first with valid_to, or delete one"
    )
