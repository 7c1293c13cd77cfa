"""A broken pack says which file, which line and what to do; and it says all of it at once."""

from pathlib import Path

import pytest

from shared.policy.errors import PolicyError
from shared.policy.loader import load_pack


def edit(folder: Path, file: str, old: str, new: str) -> int:
    """Replace the first `old` in a file of the pack and return its line."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def faults(folder: Path) -> list[str]:
    """The faults of a pack without the folder's own name."""
    with pytest.raises(PolicyError) as caught:
        load_pack(folder)
    lines = str(caught.value).split("\n")
    assert lines == [str(problem) for problem in caught.value.problems]
    return [line.removeprefix(f"{folder}/") for line in lines]


def test_the_version_does_not_depend_on_comments_or_the_order_of_keys(folder: Path) -> None:
    before = load_pack(folder).version
    edit(folder, "calendar.yaml", "duty:", "# a remark\nduty:")
    edit(folder, "pack.yaml", "language: nl\n", "")
    edit(folder, "pack.yaml", "name: nl-city\n", "language: nl\nname: nl-city\n")
    assert load_pack(folder).version == before
    edit(folder, "calendar.yaml", "08:00-18:00", "08:00-17:00")
    assert load_pack(folder).version != before


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "services.csv",
            ",help,",
            ",hepl,",
            "kind 'hepl' is not in kinds.yaml: use one of complaint, consult",
        ),
        ("services.csv", "working_days", "workdays", "due_day_count is 'workdays': Input should be"),
        ("services.csv", ",3,working_days", ",3.5,working_days", "days and months are whole numbers"),
        ("services.csv", ",3,working_days", ",,working_days", "due_amount and due_day_count go together"),
        (
            "services.csv",
            ",3,working_days",
            ",-3,working_days",
            "due_amount is '-3': Input should be greater",
        ),
        ("services.csv", "asbest-accu,", "Asbest,", "service_code is 'Asbest': String should match pattern"),
        ("services.csv", "bedrijfsafval,", "asbest-accu,", "'asbest-accu' stands on line"),
        ("services.csv", "signalen:", "gossip:", "source 'gossip' is not explained in pack.yaml"),
        (
            "services.csv",
            "asbest-accu,",
            "asbest-accu,,",
            "expected 11 cells: quote a cell that holds a comma",
        ),
        ("departments.csv", "yes", "perhaps", "kafka is 'perhaps': Input should be a valid boolean"),
        ("catalogue.csv", ",tho,", ",xyz,", "lead or co 'xyz' is not in departments.csv"),
        ("catalogue.csv", ",asbest-accu,", ",asbest,", "service_code 'asbest' is not in services.csv"),
        ("catalogue.csv", ",*,tho", ",north,tho", "area 'north' is not in areas.csv"),
        ("catalogue.csv", ",tho,,", ",tho,aeg;tho,", "a unit stands twice in lead and co"),
        ("catalogue.csv", ",tho,,,,", ",tho,,2026-02-01,2026-01-01,", "valid_to is before valid_from"),
        ("catalogue.csv", ",tho,,,,", ",tho,,soon,,", "valid_from is 'soon': Input should be a valid date"),
        ("kinds.yaml", "amount: 5", "amount: many", "reply.amount"),
        ("kinds.yaml", "acceptance: rule", "acceptance: robot", "acceptance is 'robot'"),
        ("kinds.yaml", "percents: [50, 80, 100]", "percents: [50, 180]", "percents.1 is '180'"),
        ("clocks.yaml", "returns_per_unit: 1", "returns_per_unit: -1", "returns_per_unit is '-1'"),
        ("calendar.yaml", '"08:00-18:00"', '"18:00-08:00"', "does not run forward inside one day"),
        ("calendar.yaml", '"08:00-18:00"', '"8-18"', "is no span of duty hours"),
        ("calendar.yaml", "status: declared", "status: rumoured", "status is 'rumoured'"),
        ("calendar.yaml", "receipt_day", "whenever", "day_zero.rule is 'whenever'"),
        ("pack.yaml", "Europe/Amsterdam", "Europe/Atlantis", "'Europe/Atlantis' is no IANA time zone"),
        ("pack.yaml", "language: nl", "language: Dutch", "language is 'Dutch'"),
        ("pack.yaml", "name: nl-city", "name: be-city", "give both one name"),
        ("pack.yaml", "timezone: Europe/Amsterdam", "name: nl-city", "'name' stands twice"),
        ("pack.yaml", "language: nl", "colour: orange\nlanguage: nl", "colour is unknown"),
    ],
)
def test_a_fault_is_told_with_its_line(folder: Path, file: str, old: str, new: str, message: str) -> None:
    line = edit(folder, file, old, new)
    found = faults(folder)
    assert [fault for fault in found if message in fault and fault.startswith(f"{file}:{line}: ")], found


@pytest.mark.parametrize(
    ("file", "change", "parent", "message"),
    [
        ("kinds.yaml", ("rework:", "rewrok:"), "consult:", "rework is missing: add it"),
        ("calendar.yaml", ("t: 2024-01-01", "t: 2023-01-01"), "- year: 2024", "2023-01-01 is listed under"),
        ("calendar.yaml", ("t: 2024-12-26", "t: 2024-12-25"), "- year: 2024", "2024-12-25 stands twice"),
        ("calendar.yaml", ("01-01}", "01-02, last: 2024-01-01}"), "- year: 2024", "ends before it begins"),
        ("calendar.yaml", ('-18:00"', '-12:00", "11:00-18:00"'), "duty:", "overlap or are out of order"),
    ],
)
def test_a_fault_between_lines_is_told_at_what_holds_them(
    folder: Path, file: str, change: tuple[str, str], parent: str, message: str
) -> None:
    edit(folder, file, *change)
    line = edit(folder, file, parent, parent)
    found = faults(folder)
    assert [fault for fault in found if message in fault and fault.startswith(f"{file}:{line}: ")], found


def test_all_faults_are_told_at_once(folder: Path) -> None:
    edit(folder, "services.csv", ",help,", ",hepl,")
    edit(folder, "catalogue.csv", ",tho,", ",xyz,")
    edit(folder, "calendar.yaml", "status: declared", "status: rumoured")
    (folder / "clocks.yaml").write_text("clocks: [")
    (folder / "departments.csv").write_bytes(b"code,name,kind,kafka,source\n\xff\xfe\n")
    found = faults(folder)
    for file in ("services.csv:", "catalogue.csv:", "calendar.yaml:", "clocks.yaml:", "departments.csv:"):
        assert any(fault.startswith(file) for fault in found), file


@pytest.mark.parametrize(
    "file",
    [
        "pack.yaml",
        "kinds.yaml",
        "clocks.yaml",
        "calendar.yaml",
        "services.csv",
        "departments.csv",
        "catalogue.csv",
    ],
)
def test_a_missing_file_is_told(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert f"{file}: the file is missing: a pack needs it" in faults(folder)


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just words", "{", "\x00", "sources: [a]\n"])
@pytest.mark.parametrize("file", ["pack.yaml", "kinds.yaml", "clocks.yaml", "calendar.yaml"])
def test_a_file_that_holds_something_else_is_a_fault_and_no_crash(
    folder: Path, file: str, content: str
) -> None:
    (folder / file).write_text(content)
    assert any(fault.startswith(file) for fault in faults(folder))


def test_rules_that_answer_for_the_same_day_are_told_with_the_later_line(folder: Path) -> None:
    path = folder / "catalogue.csv"
    path.write_text(path.read_text() + "nl-x,asbest-accu,*,aeg,,,,own: a second opinion\n")
    line = len(path.read_text().splitlines())
    assert [
        fault
        for fault in faults(folder)
        if fault.startswith(f"catalogue.csv:{line}: rules nl-001 and nl-x both answer")
    ]


def test_a_fault_is_told_with_the_first_line_of_its_row(folder: Path) -> None:
    path = folder / "departments.csv"
    before = len(path.read_text().splitlines())
    with path.open("a") as file:
        file.write('x,"a\nb",,internal,maybe,own: two lines\ny,c,,internal,maybe,own: bad\n')
    found = [fault.partition(": ")[0] for fault in faults(folder) if "kafka is 'maybe'" in fault]
    assert found == [f"departments.csv:{before + 1}", f"departments.csv:{before + 3}"]


def test_names_keep_their_bytes(folder: Path) -> None:
    edit(folder, "services.csv", "Asbest / accu", '"  NO "" 12:30\u00a0, "')
    assert load_pack(folder).service("asbest-accu").name == '  NO " 12:30\u00a0, '
