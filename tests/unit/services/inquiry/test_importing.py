"""Import without a database: reading broken files, mapping files with faults, rows to concerns."""

import datetime as dt
import io
from pathlib import Path
from typing import Any

import pytest

from services.cli import main
from services.inquiry.domain.concern import Concern
from services.inquiry.importing import records
from services.inquiry.importing.mapping import load_mapping
from services.inquiry.importing.records import Lines, Record, Unreadable, UnusableFile, read_records
from services.inquiry.importing.seen import SeenIds
from services.inquiry.importing.translate import Translator, UnusableRow
from shared.policy.errors import PolicyError
from shared.policy.loader import load_pack
from tests.paths import REPO

MAPPING = """\
source: test
format: csv
id: Id
title: "{Title}"
text: "{Text}"
service: {column: Type, by: name, values: {lamp: bge-stlight-s-out}}
"""
GOOD = {"Id": "1", "Title": "A lamp", "Text": "It is dark.", "Type": "BGE-StLight(s) Out"}


def read(content: bytes, form: str = "csv", columns: tuple[str, ...] = ("a", "b")) -> list[Any]:
    return list(read_records(Path("file"), Lines(io.BytesIO(content)), form, list(columns)))


def translator(folder: Path, more: str = "", mapping: str = MAPPING) -> Translator:
    path = folder / "mapping.yaml"
    path.write_text(mapping + more, encoding="utf-8")
    return Translator(*load_mapping(path), load_pack(REPO / "policies" / "us-city"))


def concern(folder: Path, more: str = "", **cells: str) -> Concern:
    return translator(folder, more).concern(Record(2, GOOD | cells), "1")


# Reading


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert read(b"\xef\xbb\xbfa,b\n1,2\n") == [Record(2, {"a": "1", "b": "2"})]


def test_cells_stay_as_they_are_with_line_breaks_quotes_and_invisible_characters() -> None:
    cell = ' a\u00a0b\u200b\r\n"quoted"\n, \t'
    quoted = cell.replace('"', '""')
    found = read(f'a,b\r\n1,"{quoted}"\r\n2,x\r\n'.encode())
    assert found == [Record(2, {"a": "1", "b": cell}), Record(5, {"a": "2", "b": "x"})]


def test_only_the_columns_that_are_asked_for_are_kept() -> None:
    assert read(b"x,b,a\n1,2,3\n") == [Record(2, {"a": "3", "b": "2"})]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (b"1\n", "1 cells, the header has 2"),
        (b"1,2,3\n", "3 cells"),
        (b'1,"x"y\n', "not valid CSV"),
        (b"1,\xff\n", "byte 0xff in line 3 is not UTF-8"),
        (b"1,\xed\xa0\x80\n", "not UTF-8"),  # half a surrogate pair
        (b"1,a\rb\n", "not valid CSV"),
        (b"1," + b"x" * 2_000 + b"\n", "longer than 1000 bytes"),
    ],
)
def test_a_broken_line_is_reported_and_the_next_ones_are_read(
    broken: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 1_000)
    before, fault, after = read(b"a,b\n1,2\n" + broken + b"3,4\n")
    assert before == Record(2, {"a": "1", "b": "2"})
    assert isinstance(fault, Unreadable)
    assert fault.line == 3
    assert says in fault.reason
    assert after == Record(4, {"a": "3", "b": "4"})


def test_a_quote_that_is_never_closed_ends_the_file_with_a_reason_and_not_with_a_row() -> None:
    before, fault = read(b'a,b\n1,2\n3,"x\n4,5\n6,7\n')
    assert before.line == 2
    assert fault == Unreadable(
        3, "lines 3 to 5 are not valid CSV: a quoted cell does not end; is a quotation mark missing?"
    )


def test_a_quote_that_swallows_too_much_is_given_up_and_reading_goes_on() -> None:
    found = read(b'a,b\n3,"x\n' + b"4,5\n" * 60_000 + b"6,7\n")
    assert isinstance(found[0], Unreadable)
    assert "a quoted cell does not end" in found[0].reason
    assert found[-1].cells == {"a": "6", "b": "7"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,c\n1,2\n", "has no column 'b': it has a, c"),
        (b"a,b,b\n1,2,3\n", "has more than one column 'b'"),
        (b"", "has no column 'a'"),
        (b"\xff,b\n", "not UTF-8"),
    ],
)
def test_a_header_without_the_columns_of_the_mapping_makes_the_file_unusable(
    content: bytes, says: str
) -> None:
    with pytest.raises(UnusableFile, match=says):
        read(content)


def test_json_lines_keep_the_spelling_of_numbers_and_an_absent_member_is_empty() -> None:
    content = (
        b'{"a": 12345678901234567890123, "b": -76.50}\n\n{"a": "x", "c": [1]}\n{"a": null, "b": "\\u00a0"}'
    )
    assert read(content, "jsonl") == [
        Record(1, {"a": "12345678901234567890123", "b": "-76.50"}),
        Record(3, {"a": "x", "b": ""}),
        Record(4, {"a": "", "b": "\u00a0"}),
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "expected a JSON object"),
        (b'{"a": true}', "a is neither text nor a number"),
        (b'{"a": {"b": 1}}', "a is neither text nor a number"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": "\\ud800"}', "half a surrogate"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_json_line_is_reported_and_the_next_one_is_read(line: bytes, says: str) -> None:
    fault, after = read(line + b'\n{"a": "1", "b": "2"}\n', "jsonl")
    assert isinstance(fault, Unreadable)
    assert fault.line == 1
    assert says in fault.reason
    assert after.cells == {"a": "1", "b": "2"}


# Mapping files


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (("format: csv", "format: xml"), "mapping.yaml:2: format"),
        (("id: Id\n", ""), "id is missing: add it"),
        (("source: test", "sauce: test"), "mapping.yaml:1: sauce is unknown"),
        (("{column: Type,", "{colum: Type,"), "mapping.yaml:6: service.colum is unknown"),
        (("{column: Type,", "{constant: bge-stlight-s-out, column: Type,"), "either one code for all rows"),
        (("bge-stlight-s-out", "no-such"), "mapping.yaml:6: 'no-such' is no service of the pack us-city"),
        (("id: Id", "id: [Id"), "this is not YAML"),
        (
            ("id: Id", "id: Id\ntime: {column: When, formats: [iso], timezone: Mars/North}"),
            "mapping.yaml:4: time.timezone: there is no time zone 'Mars/North'",
        ),
        (("id: Id", "id: Id\nhint: nobody"), "mapping.yaml:4: 'nobody' is no department of the pack"),
    ],
)
def test_a_fault_of_a_mapping_is_reported_with_file_and_line(
    changed: tuple[str, str], says: str, tmp_path: Path
) -> None:
    assert changed[0] in MAPPING
    with pytest.raises(PolicyError) as refused:
        translator(tmp_path, mapping=MAPPING.replace(*changed))
    assert says in str(refused.value)


@pytest.mark.parametrize(("name", "pack"), [("baltimore311", "us-city"), ("petitions", "cn-city")])
def test_the_mappings_that_we_ship_fit_their_packs(name: str, pack: str) -> None:
    mapping, document = load_mapping(REPO / "imports" / f"{name}.yaml")
    Translator(mapping, document, load_pack(REPO / "policies" / pack))


# Rows


def test_words_are_taken_as_they_are(tmp_path: Path) -> None:
    text = '\u00a0 {Title} \u200b"\r\n \U0001f4a1 \u202eright to left\t'
    assert concern(tmp_path, Text=text).words.text == text


def test_an_imported_row_sends_no_notices_and_keeps_its_source(tmp_path: Path) -> None:
    found = concern(tmp_path)
    assert (found.external_source, found.external_id) == ("test", "1")
    assert (found.channel, found.notify, found.contact) == ("import", False, None)
    assert found.kind == "help", "the kind that the pack gives to the service"


def test_a_template_joins_columns_and_an_empty_place_is_no_place(tmp_path: Path) -> None:
    more = 'place: "{Street}"\n'
    mapping = MAPPING.replace('"{Title}"', '"{Type}: {Title}!"')
    made = translator(tmp_path, more, mapping)
    assert made.concern(Record(2, GOOD | {"Street": ""}), "1").words.place is None
    found = made.concern(Record(2, GOOD | {"Street": "1 Main St"}), "1")
    assert found.words.place == "1 Main St"
    assert found.words.title == "BGE-StLight(s) Out: A lamp!"


@pytest.mark.parametrize(
    ("more", "cells", "code"),
    [
        ("", {"Type": "lamp"}, "bge-stlight-s-out"),
        ("", {"Type": "BGE-StLight(s) Out"}, "bge-stlight-s-out"),
    ],
)
def test_a_service_is_found_by_value_or_name(
    more: str, cells: dict[str, str], code: str, tmp_path: Path
) -> None:
    assert concern(tmp_path, more, **cells).service_code == code


@pytest.mark.parametrize(
    ("cell", "unit"), [("Housing", "housing"), ("", None), ("nobody we know", "call-center")]
)
def test_a_hint_is_the_unit_of_that_name_or_the_one_for_all_others(
    cell: str, unit: str | None, tmp_path: Path
) -> None:
    more = "hint: {column: Agency, by: name}\n"
    if cell.startswith("nobody"):
        more = more.replace("}", ", otherwise: call-center}")
    assert concern(tmp_path, more, Agency=cell).hint == unit


@pytest.mark.parametrize(
    ("more", "cells", "says"),
    [
        ("", {"Type": ""}, "Type is empty"),
        ("", {"Type": "Unheard of"}, "Type is 'Unheard of': the pack has no such service"),
        ("hint: {column: A, by: name}\n", {"A": "Nobody"}, "A is 'Nobody': the pack has no such department"),
        ("", {"Title": ""}, "the title is empty"),
        ("", {"Title": " \u3000\t"}, "the title is empty"),
        ("", {"Text": " \n "}, "the text is empty"),
        ("", {"Title": "x" * 201}, "the title is longer than 200 characters"),
        ("", {"Text": "x" * 20_001}, "the text is longer than 20000 characters"),
        ("", {"Text": "a\0b"}, "the text: must not contain the NUL character"),
        ("kind: consult\narea: {column: A}\n", {"A": "nowhere"}, "the pack has no such area"),
    ],
)
def test_a_row_that_cannot_be_taken_says_why(
    more: str, cells: dict[str, str], says: str, tmp_path: Path
) -> None:
    with pytest.raises(UnusableRow) as refused:
        concern(tmp_path, more, **cells)
    assert says in str(refused.value)


@pytest.mark.parametrize("id_", ["", "  ", "a\0b", "x" * 201])
def test_an_id_that_cannot_identify_a_row_is_refused(id_: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableRow, match="Id"):
        translator(tmp_path).external_id(Record(2, GOOD | {"Id": id_}))


@pytest.mark.parametrize(
    ("cell", "utc"),
    [
        ("04/12/2018 11:11:26 PM", "2018-04-13T03:11:26+00:00"),
        ("1/2/2019 12:00:00 AM", "2019-01-02T05:00:00+00:00"),
        ("2019-01-02T03:04:05+08:00", "2019-01-01T19:04:05+00:00"),
        ("2019-01-02 03:04:05", "2019-01-02T08:04:05+00:00"),
        # The repeated hour and the skipped one, both with the offset before the change.
        ("11/04/2018 01:30:00 AM", "2018-11-04T05:30:00+00:00"),
        ("03/11/2018 02:30:00 AM", "2018-03-11T07:30:00+00:00"),
        ("", None),
    ],
)
def test_the_original_time_is_read_on_the_clocks_of_the_place(
    cell: str, utc: str | None, tmp_path: Path
) -> None:
    more = "time: {column: When, formats: ['%m/%d/%Y %I:%M:%S %p', iso], timezone: America/New_York}\n"
    found = concern(tmp_path, more, When=cell).original_time
    assert found == (dt.datetime.fromisoformat(utc) if utc else None)


@pytest.mark.parametrize("cell", ["yesterday", "02/30/2018 11:11:26 PM", "0001-01-01T00:00:00+14:00"])
def test_an_invalid_time_rejects_the_row(cell: str, tmp_path: Path) -> None:
    more = "time: {column: When, formats: ['%m/%d/%Y %I:%M:%S %p', iso], timezone: America/New_York}\n"
    with pytest.raises(UnusableRow, match="the time has none of the mapping's formats"):
        concern(tmp_path, more, When=cell)


@pytest.mark.parametrize(
    ("latitude", "longitude", "kept"),
    [
        ("39.3", "-76.6", True),
        ("39", "-77", False),
        ("", "", False),
        ("39.3", "", False),
        ("nan", "-76.6", False),
        ("39.3", "west", False),
    ],
)
def test_a_position_out_of_range_is_left_out_and_the_row_is_taken(
    latitude: str, longitude: str, kept: bool, tmp_path: Path
) -> None:
    more = "position: {latitude: Y, longitude: X, south: 39.1, north: 39.5, west: -76.9, east: -76.3}\n"
    words = concern(tmp_path, more, Y=latitude, X=longitude).words
    assert (words.latitude, words.longitude) == ((39.3, -76.6) if kept else (None, None))


def test_an_id_is_remembered_with_the_line_on_which_it_stood_first() -> None:
    seen = SeenIds()
    assert [seen.first_line(id_, line) for line, id_ in enumerate(["a", "b", "a", "c", "b"], start=2)] == [
        *(2, 3, 2),
        *(5, 3),
    ]
    seen.close()


# The command


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of inquiry, with a database URL at which no server listens."""
    monkeypatch.setenv("SECRET_KEY", "00" * 32)
    monkeypatch.setenv("PACK", "us-city")
    monkeypatch.setenv("DATABASE_URL", "postgres://postgres@127.0.0.1:1/nowhere")
    monkeypatch.delenv("INQUIRY_DATABASE_URL", raising=False)
    return monkeypatch


def files(folder: Path, mapping: str = MAPPING) -> list[str]:
    (folder / "file.csv").write_text("Id,Title,Text,Type\n", encoding="utf-8")
    (folder / "mapping.yaml").write_text(mapping, encoding="utf-8")
    return ["import", str(folder / "file.csv"), "--map", str(folder / "mapping.yaml")]


def test_an_unreachable_database_is_one_sentence_that_says_how_to_continue(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(files(tmp_path)) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "run it again" in message


def test_a_bad_mapping_is_bad_usage_and_reported_with_its_line(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(files(tmp_path, MAPPING.replace("format: csv", "format: xml"))) == 2
    assert "mapping.yaml:2: format is 'xml'" in capsys.readouterr().err


def test_a_missing_secret_key_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.delenv("SECRET_KEY")
    assert main(files(tmp_path)) == 2
    assert "SECRET_KEY" in capsys.readouterr().err


def test_a_report_cannot_take_the_place_of_the_file(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = files(tmp_path)
    assert main([*arguments, "--report", arguments[1]]) == 2
    assert "--report" in capsys.readouterr().err
    assert (tmp_path / "file.csv").read_text().startswith("Id,")


def test_a_file_that_is_not_there_is_bad_usage(
    environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = files(tmp_path)
    (tmp_path / "file.csv").unlink()
    assert main(arguments) == 2
    assert "does not exist" in capsys.readouterr().err
