"""A broken pack says which file, which line and what to do; and it says all of it at once."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.policy.errors import PolicyError
from shared.policy.loader import load_pack
from shared.policy.model import Pack


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
    assert lines == [str(fault) for fault in caught.value.faults]
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
        ("services.csv", "bedrijfsafval,", "asbest-accu,", "'asbest-accu' is already on line"),
        ("services.csv", "signalen:", "gossip:", "source 'gossip' is not explained in pack.yaml"),
        (
            "services.csv",
            "asbest-accu,",
            "asbest-accu,,",
            "expected 11 cells: quote a cell that holds a comma",
        ),
        ("services.csv", ",3,working_days", ",0.5,hours_24x7", "is in whole hours: round it"),
        ("services.csv", ",3,working_days", ",inf,hours_24x7", "due_amount is 'inf': Input should be less"),
        ("services.csv", "name,name_en", "name,name", "column name occurs twice: delete one"),
        ("services.csv", ",kind,", ",", "column kind is missing: add it"),
        ("services.csv", "bedrijfsafval,B", 'bedrijfsafval,"B"x', "this is not CSV: "),
        ("departments.csv", "signalen:", "gossip:", "source 'gossip' is not explained in pack.yaml"),
        ("catalogue.csv", "signalen:", "gossip:", "source 'gossip' is not explained in pack.yaml"),
        ("departments.csv", "yes", "perhaps", "kafka is 'perhaps': Input should be a valid boolean"),
        ("catalogue.csv", ",tho,", ",xyz,", "lead or co 'xyz' is not in departments.csv"),
        ("catalogue.csv", ",asbest-accu,", ",asbest,", "service_code 'asbest' is not in services.csv"),
        ("catalogue.csv", ",*,tho", ",north,tho", "area 'north' is not in areas.csv"),
        ("catalogue.csv", ",tho,,", ",tho,aeg;tho,", "a unit occurs twice in lead and co"),
        ("catalogue.csv", ",tho,,,,", ",tho,,2026-02-01,2026-01-01,", "valid_to is before valid_from"),
        ("catalogue.csv", ",tho,,,,", ",tho,,soon,,", "valid_from is 'soon': Input should be a valid date"),
        ("kinds.yaml", "amount: 5", "amount: many", "reply.amount"),
        ("kinds.yaml", "amount: 5", "amount: .inf", "reply.amount"),
        ("kinds.yaml", "amount: 5", "amount: inf", "reply.amount"),
        ("kinds.yaml", "amount: 5, day_count: working_days", "amount: 1.5, day_count: hours_duty", "reply"),
        ("kinds.yaml", "acceptance: rule", "acceptance: robot", "acceptance is 'robot'"),
        ("kinds.yaml", "percents: [50, 80, 100]", "percents: [50, 180]", "percents.1 is '180'"),
        ("clocks.yaml", "returns_per_unit: 1", "returns_per_unit: -1", "returns_per_unit is '-1'"),
        ("clocks.yaml", "limits:", "limitz: 1\nlimits:", "limitz is unknown: correct its spelling"),
        ("clocks.yaml", "  sign:", "  sing:", "code is 'sing': Input should be 'triage', "),
        ("clocks.yaml", "clocks:", "? [a, b]\n: c\nclocks:", "a key is one word"),
        ("calendar.yaml", '"08:00-18:00"', '"18:00-08:00"', "does not run forward inside one day"),
        ("calendar.yaml", '"08:00-18:00"', '"8-18"', "is not a span of duty hours"),
        ("calendar.yaml", "status: declared", "status: rumoured", "status is 'rumoured'"),
        ("calendar.yaml", "receipt_day", "whenever", "day_zero.rule is 'whenever'"),
        ("pack.yaml", "Europe/Amsterdam", "Europe/Atlantis", "'Europe/Atlantis' is not an IANA time zone"),
        ("pack.yaml", "language: nl", "language: Dutch", "language is 'Dutch'"),
        ("pack.yaml", "name: nl-city", "name: be-city", "give both one name"),
        ("pack.yaml", "timezone: Europe/Amsterdam", "name: nl-city", "'name' occurs twice"),
        ("pack.yaml", "language: nl", "colour: orange\nlanguage: nl", "colour is unknown"),
    ],
)
def test_a_fault_is_reported_with_its_line(folder: Path, file: str, old: str, new: str, message: str) -> None:
    line = edit(folder, file, old, new)
    found = faults(folder)
    assert [fault for fault in found if message in fault and fault.startswith(f"{file}:{line}: ")], found


@pytest.mark.parametrize(
    ("file", "change", "parent", "message"),
    [
        ("kinds.yaml", ("suggestion:", "rant:"), "rant:", "code is 'rant': Input should be 'consult'"),
        ("kinds.yaml", ("rework:", "rewrok:"), "consult:", "rework is missing: add it"),
        ("calendar.yaml", ("t: 2024-01-01", "t: 2023-01-01"), "- year: 2024", "2023-01-01 is listed under"),
        ("calendar.yaml", ("t: 2024-12-26", "t: 2024-12-25"), "- year: 2024", "2024-12-25 occurs twice"),
        ("calendar.yaml", ("01-01}", "01-02, last: 2024-01-01}"), "- year: 2024", "ends before it begins"),
        ("calendar.yaml", ('-18:00"', '-12:00", "11:00-18:00"'), "duty:", "overlap or are out of order"),
    ],
)
def test_a_fault_between_lines_is_reported_at_what_holds_them(
    folder: Path, file: str, change: tuple[str, str], parent: str, message: str
) -> None:
    edit(folder, file, *change)
    line = edit(folder, file, parent, parent)
    found = faults(folder)
    assert [fault for fault in found if message in fault and fault.startswith(f"{file}:{line}: ")], found


def test_all_faults_are_reported_at_once(folder: Path) -> None:
    edit(folder, "services.csv", ",help,", ",hepl,")
    edit(folder, "catalogue.csv", ",tho,,,,", ",tho,,soon,,")
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
def test_a_missing_file_is_reported(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert f"{file}: the file is missing: a pack needs it" in faults(folder)


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just words", "{", "\x00", "sources: [a]\n"])
@pytest.mark.parametrize("file", ["pack.yaml", "kinds.yaml", "clocks.yaml", "calendar.yaml"])
def test_a_file_that_holds_something_else_is_a_fault_and_no_crash(
    folder: Path, file: str, content: str
) -> None:
    (folder / file).write_text(content)
    assert any(fault.startswith(file) for fault in faults(folder))


def test_rules_that_answer_for_the_same_day_are_reported_with_the_later_line(folder: Path) -> None:
    path = folder / "catalogue.csv"
    path.write_text(path.read_text() + "nl-x,asbest-accu,*,aeg,,,,own: a second opinion\n")
    line = len(path.read_text().splitlines())
    assert [
        fault
        for fault in faults(folder)
        if fault.startswith(f"catalogue.csv:{line}: rules nl-001 and nl-x both answer")
    ]


def test_a_fault_is_reported_with_the_first_line_of_its_row(folder: Path) -> None:
    path = folder / "departments.csv"
    before = len(path.read_text().splitlines())
    with path.open("a") as file:
        file.write('x,"a\nb",,internal,maybe,own: two lines\ny,c,,internal,maybe,own: bad\n')
    found = [fault.partition(": ")[0] for fault in faults(folder) if "kafka is 'maybe'" in fault]
    assert found == [f"departments.csv:{before + 1}", f"departments.csv:{before + 3}"]


def test_a_mapping_without_rows_is_reported_at_its_line(folder: Path) -> None:
    text = (folder / "clocks.yaml").read_text(encoding="utf-8")
    limits = text[: text.index("clocks:")]
    (folder / "clocks.yaml").write_text(limits + "clocks: {}\n", encoding="utf-8")
    fault = f"clocks.yaml:{limits.count(chr(10)) + 1}: nothing is listed here: a pack needs some"
    assert fault in faults(folder)


def test_a_cell_of_several_values_is_taken_apart_at_its_semicolons(folder: Path) -> None:
    edit(folder, "services.csv", ",help,,,3,", ",help,,asbest; dak,3,")
    assert load_pack(folder).service("asbest-accu").keywords == ("asbest", "dak")


def test_names_keep_their_bytes(folder: Path) -> None:
    edit(folder, "services.csv", "Asbest / accu", '"  NO "" 12:30\u00a0, "')
    assert load_pack(folder).service("asbest-accu").name == '  NO " 12:30\u00a0, '


def test_a_pack_without_the_clock_that_dispatch_asks_for_is_reported(folder: Path) -> None:
    path = folder / "clocks.yaml"
    text = path.read_text(encoding="utf-8")
    begin = text.index("  sign:")
    path.write_text(text[:begin] + text[text.index("  contact:") :], encoding="utf-8")
    line = text[: text.index("clocks:")].count("\n") + 1
    assert faults(folder) == [f"clocks.yaml:{line}: there is no clock 'sign': add it"]


@pytest.mark.parametrize("file", ["services.csv", "departments.csv", "catalogue.csv"])
def test_an_empty_table_is_reported(folder: Path, file: str) -> None:
    """A catalogue of 0 bytes would send every case to triage."""
    (folder / file).write_bytes(b"")
    (fault,) = faults(folder)
    assert fault.startswith(f"{file}:1: the file is empty: begin with a line of the columns ")


@pytest.mark.parametrize("file", ["services.csv", "departments.csv"])
def test_a_table_of_names_alone_is_reported(folder: Path, file: str) -> None:
    path = folder / file
    path.write_text(path.read_text(encoding="utf-8").split("\n")[0], encoding="utf-8")
    (fault,) = faults(folder)
    assert fault == f"{file}:1: nothing is listed here: a pack needs some"


def test_what_a_spreadsheet_program_puts_before_the_text_is_no_part_of_it(folder: Path) -> None:
    version = load_pack(folder).version
    for path in folder.iterdir():
        path.write_bytes("\ufeff".encode() + path.read_bytes())
    assert load_pack(folder).version == version


def test_one_fault_of_a_table_is_not_repeated_by_all_that_refers_to_it(folder: Path) -> None:
    line = edit(folder, "kinds.yaml", "acceptance: rule", "acceptance: robot")
    (fault,) = faults(folder)
    assert fault.startswith(f"kinds.yaml:{line}: ")
    edit(folder, "kinds.yaml", "acceptance: robot", "acceptance: rule")
    edit(folder, "services.csv", "service_code,", "code,")
    (fault,) = faults(folder)
    assert fault.startswith("services.csv:1: unknown column code: ")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("duty:\n  a: &loop\n    - 1\n    - *loop\n", 4, "*loop is inside &loop itself"),
        ("duty:\n  " + "[" * 5000 + "]" * 5000, 2, "more than 20 levels inside each other"),
    ],
)
def test_an_endless_or_too_deep_structure_is_reported(
    folder: Path, text: str, line: int, message: str
) -> None:
    (folder / "calendar.yaml").write_text(text)
    (fault,) = faults(folder)
    assert fault.startswith(f"calendar.yaml:{line}: {message}")


@pytest.mark.parametrize("file", ["pack.yaml", "catalogue.csv", "areas.csv"])
def test_a_folder_in_place_of_a_file_is_reported(folder: Path, file: str) -> None:
    (folder / file).unlink(missing_ok=True)
    (folder / file).mkdir()
    assert f"{file}: the file cannot be read: Is a directory" in faults(folder)


def test_a_stored_pack_is_held_to_the_same(folder: Path) -> None:
    pack = load_pack(folder)
    clocks = [clock for clock in pack.clocks if clock.code != "sign"]
    with pytest.raises(ValidationError, match="there is no clock sign"):
        Pack.of(pack.model_dump() | {"clocks": clocks})
