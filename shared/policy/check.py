"""`civicloom policy check`: what is wrong with a pack, and what is lawful but probably not meant."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.policy.dispatch import ANYWHERE
from shared.policy.errors import PolicyError
from shared.policy.loader import load_pack
from shared.policy.model import Pack


class Report(NamedTuple):
    """What `check` found, one sentence each: problems make a pack unusable, remarks do not."""

    problems: list[str]
    remarks: list[str]


def check(folder: Path) -> Report:
    """Load the pack in a folder and say what is wrong with it and what may not be meant."""
    try:
        pack = load_pack(folder)
    except PolicyError as error:
        return Report([str(problem) for problem in error.problems], [])
    return Report([], remarks(pack))


def remarks(pack: Pack) -> list[str]:
    """What a sound pack may still not mean: cases that go to triage, idle units, rows without effect."""
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
    """A row for one area that overlaps the row for anywhere and says the same."""
    anywhere = {row.service_code: row for row in pack.catalogue if row.area == ANYWHERE}
    for row in pack.catalogue:
        general = anywhere.get(row.service_code)
        if general is None or row.area == ANYWHERE:
            continue
        same = (row.lead, row.co) == (general.lead, general.co)
        if same and general.valid_from <= row.valid_from and row.valid_to <= general.valid_to:
            yield f"catalogue.csv: {row.rule_id} overlaps {general.rule_id} and says the same: delete it"
