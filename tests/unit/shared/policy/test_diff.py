"""What changes between two versions of a pack is listed file by file, completely."""

import json
from pathlib import Path

import pytest

from services import cli
from shared.policy.diff import Change, diff
from shared.policy.loader import load_pack
from tests.unit.shared.policy.conftest import POLICIES
from tests.unit.shared.policy.test_loader import edit

OLD = POLICIES / "nl-city"


def test_one_version_has_no_difference(folder: Path) -> None:
    edit(folder, "calendar.yaml", "duty:", "# a remark\nduty:")
    assert diff(load_pack(OLD), load_pack(folder)) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("pack.yaml", "language: nl", "language: en", "~ language nl -> en"),
        ("kinds.yaml", "amount: 5", "amount: 4", "~ consult: reply.amount 5 -> 4"),
        ("kinds.yaml", "[50, 80, 100]", "[80]", "~ consult: warn.percents 50, 80, 100 -> 80"),
        ("clocks.yaml", "returns_per_unit: 1", "returns_per_unit: 3", "~ limits: returns_per_unit 1 -> 3"),
        ("calendar.yaml", "08:00-18:00", "08:00-17:00", "~ duty: mon 08:00-18:00 -> 08:00-17:00"),
        ("calendar.yaml", "first: 2024-12-26", "first: 2024-12-27", "+ 2024-12-27 (圣诞节次日)"),
        ("services.csv", ",3,working_days,no,", ",3,working_days,yes,", "~ bedrijfsafval: active no -> yes"),
        ("services.csv", ",3,working_days", ",,", "~ asbest-accu: due_amount 3 -> none"),
        ("catalogue.csv", ",tho,,", ",tho,aeg,", "co none -> aeg"),
    ],
)
def test_a_changed_cell_is_listed(folder: Path, file: str, old: str, new: str, line: str) -> None:
    edit(folder, file, old, new)
    found = diff(load_pack(OLD), load_pack(folder))
    assert {change.file for change in found} == {file}
    assert [change for change in found if line in str(change)], [str(change) for change in found]


def test_rows_that_come_go_and_move_are_listed(folder: Path) -> None:
    path = folder / "departments.csv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    before = load_pack(OLD)
    unused = next(d.code for d in before.departments if all(d.code != r.lead for r in before.catalogue))
    kept = [row for row in rows if not row.startswith(f"{unused},")]
    added = kept[0].replace(kept[0].split(",")[0], "brand-new", 1)
    path.write_text("\n".join([header, *reversed(kept), added]), encoding="utf-8")
    catalogue = folder / "catalogue.csv"
    catalogue.write_text(catalogue.read_text(encoding="utf-8").replace(f";{unused}", ""), encoding="utf-8")
    found = [change for change in diff(before, load_pack(folder)) if change.file == "departments.csv"]
    assert [(change.change, change.row) for change in found] == [
        ("removed", unused),
        ("added", "brand-new"),
        ("moved", ""),
    ]


def test_another_order_alone_is_another_version_and_a_difference(folder: Path) -> None:
    path = folder / "departments.csv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *reversed(rows)]), encoding="utf-8")
    after = load_pack(folder)
    assert after.version != load_pack(OLD).version
    assert diff(load_pack(OLD), after) == [Change("departments.csv", "", "moved")]


def test_the_command_tells_both_versions_and_exits_as_diff_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["policy", "diff", str(OLD), str(folder)]
    assert cli.main(command) == 0
    version = load_pack(OLD).version
    assert capsys.readouterr().out.splitlines() == [f"{version} -> {version}", "no difference"]
    edit(folder, "kinds.yaml", "amount: 5", "amount: 4")
    assert cli.main(command) == 1
    after = load_pack(folder).version
    assert capsys.readouterr().out.splitlines() == [
        f"{version} -> {after}",
        "kinds.yaml",
        "  ~ consult: reply.amount 5 -> 4",
    ]
    assert cli.main([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "old": version,
        "new": after,
        "changes": [
            {
                "file": "kinds.yaml",
                "row": "consult",
                "change": "changed",
                "field": "reply.amount",
                "old": 5,
                "new": 4,
            }
        ],
    }


def test_a_pack_that_cannot_be_used_is_reported_and_is_no_difference(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = edit(folder, "kinds.yaml", "acceptance: rule", "acceptance: robot")
    assert cli.main(["policy", "diff", str(OLD), str(folder)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"kinds.yaml:{line}: acceptance is 'robot'" in printed.err
    assert cli.main(["policy", "diff", str(OLD), str(folder / "nowhere")]) == 2
