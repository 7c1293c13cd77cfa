"""The dispatch catalogue (派单目录) compiled to a look-up: service and area to lead and co-handlers."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from shared.policy.errors import PolicyError, Problem
from shared.policy.model import Pack
from shared.policy.tables import CatalogueRow

ANYWHERE = "*"


class Match(NamedTuple):
    """Who gets the case: one lead (主办), who answers, co-handlers (协办), and the rule that says so."""

    lead: str
    co: tuple[str, ...]
    rule_id: str


class NoMatch(NamedTuple):
    """Why the catalogue cannot place a case, so that it goes to triage."""

    reason: Literal["unknown_service", "no_rule", "no_rule_for_area", "no_rule_in_force"]


class _Dated(NamedTuple):
    first: dt.date
    last: dt.date
    match: Match


class Catalogue:
    """The catalogue of one pack version."""

    def __init__(self, pack: Pack) -> None:
        """Raises PolicyError if two rows answer for the same service, area and day."""
        problems = [
            Problem("catalogue.csv", None, overlap_message(*pair)) for pair in overlaps(pack.catalogue)
        ]
        if problems:
            raise PolicyError(problems)
        self._rows: dict[str, dict[str, list[_Dated]]] = {
            service.service_code: {} for service in pack.services
        }
        for row in pack.catalogue:
            dated = _Dated(row.valid_from, row.valid_to, Match(row.lead, row.co, row.rule_id))
            self._rows[row.service_code].setdefault(row.area, []).append(dated)

    def match(self, service_code: str, area: str | None, on: dt.date) -> Match | NoMatch:
        """The row in force on a day: one for the very area goes before one for anywhere (`*`).

        `area` is None where the place is not known; then only rows for anywhere apply.
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
    """Pairs of rows that answer for the same service, area and day."""
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
    """What to do about two rows that overlap."""
    return (
        f"rules {earlier.rule_id} and {later.rule_id} both answer for service {later.service_code!r} in area "
        f"{later.area!r} on {later.valid_from}: end the first with valid_to, or delete one"
    )
