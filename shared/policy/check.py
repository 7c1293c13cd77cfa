"""`civicloom policy check`: faults of a pack, and what is valid but probably not intended."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.policy.dispatch import ANYWHERE
from shared.policy.errors import PolicyError
from shared.policy.loader import load_pack
from shared.policy.model import Pack


class Report(NamedTuple):
    """The result of `check`, one sentence each: problems make a pack unusable, remarks do not."""

    problems: list[str]
    remarks: list[str]


def check(folder: Path) -> Report:
    """Load the pack in a folder and report its faults, or else the remarks on it. Raises no PolicyError."""
    try:
        pack = load_pack(folder)
    except PolicyError as error:
        return Report([str(fault) for fault in error.faults], [])
    return Report([], remarks(pack))


def remarks(pack: Pack) -> list[str]:
    """What the author of a valid pack may have overlooked.

    Services whose cases go to triage, units without a rule, and rows without effect.
    """
    return [*_services_without_rule(pack), *_idle_departments(pack), *_rows_without_effect(pack)]


def _services_without_rule(pack: Pack) -> Iterator[str]:
    anywhere = {row.service_code for row in pack.catalogue if row.area == ANYWHERE}
    somewhere = {row.service_code for row in pack.catalogue}
    for code in pack.services_by_code:
        if code not in somewhere:
            yield f"services.csv: {code} has no rule: its cases go to triage"
        elif code not in anywhere:
            yield f"services.csv: {code} has rules for single areas only: other cases go to triage"


def _idle_departments(pack: Pack) -> Iterator[str]:
    used = {code for row in pack.catalogue for code in (row.lead, *row.co)}
    for department in pack.departments:
        if department.code not in used:
            yield f"departments.csv: {department.code} is in no rule: only triage can give it a case"


def _rows_without_effect(pack: Pack) -> Iterator[str]:
    """Rows for one area that a row for anywhere makes redundant."""
    anywhere = {row.service_code: row for row in pack.catalogue if row.area == ANYWHERE}
    for row in pack.catalogue:
        general = anywhere.get(row.service_code)
        if general is None or row.area == ANYWHERE:
            continue
        same = (row.lead, row.co) == (general.lead, general.co)
        if same and general.valid_from <= row.valid_from and row.valid_to <= general.valid_to:
            yield f"catalogue.csv: {row.rule_id} overlaps {general.rule_id} and says the same: delete it"
