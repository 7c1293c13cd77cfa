"""Files of a pack are read with the line of every value, and all faults together."""

from pathlib import Path

from shared.policy.errors import Fault
from shared.policy.sources import Document, TableLine, read_csv, read_yaml


def yaml_of(folder: Path, text: str) -> tuple[Document, list[Fault]]:
    path = folder / "a.yaml"
    path.write_text(text, encoding="utf-8")
    faults: list[Fault] = []
    return read_yaml(path, faults), faults


def test_every_scalar_stays_a_string_and_has_its_line(tmp_path: Path) -> None:
    document, faults = yaml_of(tmp_path, "# remark\na: NO\nb:\n  - 12:30\n  - c: 1\n")
    assert faults == []
    assert document.data == {"a": "NO", "b": ["12:30", {"c": "1"}]}
    assert [document.line(path) for path in (("a",), ("b",), ("b", 0), ("b", 1, "c"))] == [2, 3, 4, 5]


def test_a_value_that_does_not_exist_has_the_line_around_it(tmp_path: Path) -> None:
    document, _ = yaml_of(tmp_path, "\n\na:\n  b: 1\n")
    assert document.line(("a", "missing", "deeper")) == 3
    assert document.line(("missing",)) == document.line(()) == 3
    assert Document("a.yaml", None, {}).line(("a",)) == 1


def test_all_repeated_keys_are_reported_with_their_lines(tmp_path: Path) -> None:
    _, faults = yaml_of(tmp_path, "a: 1\na: 2\nb:\n  c: 1\n  c: 2\n")
    assert faults == [
        Fault("a.yaml", 2, "'a' occurs twice: keep one"),
        Fault("a.yaml", 5, "'c' occurs twice: keep one"),
    ]


def test_invalid_yaml_is_reported_with_its_line(tmp_path: Path) -> None:
    document, (fault,) = yaml_of(tmp_path, "a: 1\nb: [\n")
    assert document.data is None
    assert str(fault).startswith("a.yaml:3: this is not YAML: ")


def test_a_record_of_a_table_has_the_line_on_which_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('code,name\nx,"a\nb"\ny,\nz,1,2\n', encoding="utf-8")
    faults: list[Fault] = []
    records = list(read_csv(path, {"code": True, "name": False, "kind": False}, faults))
    assert records == [TableLine(2, {"code": "x", "name": "a\nb"}), TableLine(4, {"code": "y"})]
    assert faults == [Fault("a.csv", 5, "expected 2 cells: quote a cell that holds a comma")]


def test_an_error_of_several_lines_is_reported_in_one(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: \xff\n")
    faults: list[Fault] = []
    assert read_yaml(path, faults).data is None
    (fault,) = faults
    assert fault.message.startswith("this is not YAML in UTF-8: 'utf-8' codec can't decode byte 0xff")
    assert "\n" not in fault.message
