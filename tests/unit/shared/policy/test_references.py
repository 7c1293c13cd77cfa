"""Checks between the files of a pack name the file, the line and what is missing."""

from typing import Any

from shared.policy.errors import Fault
from shared.policy.references import (
    ambiguous_rules,
    dangling_rules,
    repeated,
    unknown_sources,
    unknown_sources_in,
)
from shared.policy.sources import Document
from shared.policy.tables import CatalogueRow, Department


def unit(code: str, source: str = "own: test") -> Department:
    return Department(code=code, name=code, kind="internal", kafka=False, source=source)


def rule(rule_id: str, **cells: Any) -> CatalogueRow:
    row = {"rule_id": rule_id, "service_code": "light", "lead": "water", "source": "own: test"}
    return CatalogueRow.model_validate(row | cells)


def test_a_code_on_two_lines_is_reported_on_the_later_one() -> None:
    rows = [(2, unit("a")), (3, unit("b")), (7, unit("a"))]
    assert repeated("departments.csv", rows, lambda row: row.code) == [
        Fault("departments.csv", 7, "'a' is already on line 2: rename or delete one")
    ]


def test_a_rule_names_what_exists_unless_its_file_is_broken() -> None:
    rules = [(2, rule("r", area="north", co=("roads",)))]
    faults = list(dangling_rules(rules, [], [(2, unit("water"))], [], set()))
    assert [fault.message.split(" is not ")[0] for fault in faults] == [
        "service_code 'light'",
        "area 'north'",
        "lead or co 'roads'",
    ]
    files = {"services.csv", "areas.csv", "departments.csv"}
    assert list(dangling_rules(rules, [], [], [], files)) == []


def test_two_rules_for_the_same_day_are_ambiguous_and_consecutive_ones_are_not() -> None:
    first = rule("one", valid_to="2026-06-30")
    assert ambiguous_rules([(2, first), (3, rule("two", valid_from="2026-07-01"))]) == []
    (fault,) = ambiguous_rules([(2, first), (3, rule("two", valid_from="2026-06-30"))])
    assert (fault.file, fault.line) == ("catalogue.csv", 3)
    assert "'light' in area '*' on 2026-06-30" in fault.message


def test_a_source_is_explained_by_the_key_before_its_colon() -> None:
    rows = [(2, unit("a", "law: art. 1")), (3, unit("b", "gossip: neighbour"))]
    message = "source 'gossip' is not explained in pack.yaml: add it under `sources`, or correct it"
    assert unknown_sources("departments.csv", rows, {"law"}) == [Fault("departments.csv", 3, message)]
    data = {"a": {"source": "law"}, "b": [{"source": "gossip: x"}]}
    document = Document("kinds.yaml", data, {("b", 0, "source"): 9})
    assert unknown_sources_in(document, {"law"}) == [Fault("kinds.yaml", 9, message)]
