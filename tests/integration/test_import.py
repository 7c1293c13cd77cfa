"""`civicloom import` on a real database: run twice, killed, two at once, with bad rows, with a long file."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson
import pytest

from harness.schema import open_service_database
from services.inquiry.importing.mapping import load_mapping
from services.inquiry.importing.run import Importer
from services.inquiry.importing.translate import Translator
from shared.packs import Packs
from shared.unit_of_work.database import Database
from tests.imported import Command, kill_after, nothing_is_left_of_imports

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def inquiry(database: str) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "inquiry", namespace="civic")
    yield opened
    await opened.close()


@pytest.fixture
def command(inquiry: Database, database: str, tmp_path: Path) -> Command:
    return Command(database, tmp_path)


async def ids_in_the_system(inquiry: Database, source: str) -> list[str]:
    return [
        row["external_id"]
        for row in await inquiry.pool.fetch(
            "SELECT external_id FROM inquiry WHERE external_source = $1 ORDER BY external_id", source
        )
    ]


async def events_of(inquiry: Database, source: str) -> dict[str, tuple[dict[str, Any], bytes]]:
    """The events in the outbox of the rows of a source: value and words by external id; each id once."""
    found: dict[str, tuple[dict[str, Any], bytes]] = {}
    for row in await inquiry.pool.fetch("SELECT value, words FROM outbox"):
        value = orjson.loads(row["value"])
        if value["data"].get("external_source") == source:
            assert value["data"]["external_id"] not in found
            found[value["data"]["external_id"]] = (value, row["words"])
    return found


async def test_every_row_is_in_the_system_once_and_a_second_run_changes_nothing(
    inquiry: Database, command: Command, tmp_path: Path
) -> None:
    file, mapping = small_file(tmp_path, "again", range(1, 701))
    first = await command.run(file, mapping, "us-city")
    assert first.code == 0, first.stderr
    assert (first.summary["rows"], first.summary["taken"]) == (700, 700)
    second = await command.run(file, mapping, "us-city")
    assert second.code == 0, second.stderr
    assert (second.summary["taken"], second.summary["already"]) == (0, 700)

    expected = sorted(str(id_) for id_ in range(1, 701))
    assert await ids_in_the_system(inquiry, "again") == expected
    assert sorted(await events_of(inquiry, "again")) == expected
    assert await nothing_is_left_of_imports(inquiry.pool)


async def test_without_its_progress_it_still_takes_nothing_twice(
    inquiry: Database, command: Command, tmp_path: Path
) -> None:
    file, mapping = small_file(tmp_path, "forgetful", range(1, 1_201))
    process = command.start(file, mapping, "us-city")
    await kill_after(process, inquiry.pool, "forgetful", 500)
    await inquiry.pool.execute("DELETE FROM import_progress")

    again = await command.run(file, mapping, "us-city")
    assert again.code == 0, again.stderr
    assert again.summary["resumed_at"] == 0
    assert len(await events_of(inquiry, "forgetful")) == 1_200


async def test_two_imports_of_one_file_at_once_take_each_row_once(
    inquiry: Database, command: Command, tmp_path: Path
) -> None:
    file, mapping = small_file(tmp_path, "twice", [*range(1, 1_201), 7])
    processes = [command.start(file, mapping, "us-city") for _ in range(2)]
    ran = await asyncio.gather(*(command.end(process) for process in processes))

    assert [one.code for one in ran] == [1, 1], "each reports the row that stands twice"
    assert sum(one.summary["taken"] for one in ran) == 1_200
    assert sum(one.summary["already"] for one in ran) == 1_200
    assert len(await events_of(inquiry, "twice")) == 1_200
    assert await nothing_is_left_of_imports(inquiry.pool)


async def test_rows_taken_by_another_import_in_the_middle_of_a_batch_are_found_again(
    inquiry: Database, tmp_path: Path
) -> None:
    file, mapping = small_file(tmp_path, "raced", range(1, 1_001))
    settings = inquiry.settings.model_copy(update={"pack": "us-city"})
    policies = await Packs.open(inquiry, settings)
    importers = [
        Importer(inquiry, policies, Translator(*load_mapping(mapping), policies.current), file)
        for _ in range(2)
    ]
    # The lock on a source only saves work: without it two imports must be correct too.
    for importer in importers:
        importer._alone = lambda _: nullcontext()  # type: ignore[method-assign,assignment]
    ran = await asyncio.gather(*(importer.run(lambda _: None, lambda _: None) for importer in importers))

    assert sum(one.taken for one in ran) == 1_000
    assert len(await events_of(inquiry, "raced")) == 1_000
    await importers[0].finish(tmp_path / "report.csv")


async def test_what_cannot_be_taken_is_reported_and_the_rest_is_taken(
    inquiry: Database, command: Command, tmp_path: Path
) -> None:
    _, mapping = small_file(tmp_path, "faulty", [])
    file = tmp_path / "faulty.csv"
    good = "BGE-StLight(s) Out"
    lines = [
        "Id,Type,When",
        f"1,{good},2024-01-02T03:04:05Z",
        f",{good},2024-01-02T03:04:05Z",
        f"1,{good},2024-01-02T03:04:05Z",
        f"2,{good},yesterday",
        "3,No such type,2024-01-02T03:04:05Z",
        f"4,{good}",
        f'5,"{good}\0",2024-01-02T03:04:05Z',
        f"6,{good},2024-01-02T03:04:05Z",
    ]
    file.write_bytes("\r\n".join(lines).encode() + b"\r\n7,\xff,\r\n" + f"8,{good},\r\n".encode())

    for _ in range(2):
        ran = await command.run(file, mapping, "us-city")
        assert ran.code == 1
        assert await ids_in_the_system(inquiry, "faulty") == ["1", "6", "8"]
        assert [(row["line"], row["external_id"]) for row in command.rejected] == [
            ("3", ""),
            ("4", "1"),
            ("5", "2"),
            ("6", "3"),
            ("7", ""),
            ("8", "5"),
            ("10", ""),
        ]
        assert all(row["reason"] for row in command.rejected)
        assert ran.summary["rejected"] == 7

    lines[4:9] = [f"2,{good},2024-01-02T03:04:05Z"]
    file.write_text("\n".join(line for line in lines[:1] + lines[4:]), encoding="utf-8")
    mended = await command.run(file, mapping, "us-city")
    assert (mended.code, mended.summary["taken"]) == (0, 1)
    assert command.rejected == [], "the old report is removed"


@pytest.mark.parametrize("dealt_with", [0, 1, 2])
async def test_a_bad_row_does_not_stand_in_the_way_of_a_good_one_with_its_id(
    inquiry: Database, tmp_path: Path, dealt_with: int
) -> None:
    """An earlier run that was interrupted after the bad row changes nothing."""
    source = f"second-chance-{dealt_with}"
    file, mapping = small_file(tmp_path, source, [5, 5, 5, 6])
    first = "5,BGE-StLight(s) Out,"
    file.write_text(file.read_text().replace(f"{first}2024-01-02T03:04:05Z", f"{first}yesterday", 1))
    settings = inquiry.settings.model_copy(update={"pack": "us-city"})
    policies = await Packs.open(inquiry, settings)
    importer = Importer(inquiry, policies, Translator(*load_mapping(mapping), policies.current), file)
    await inquiry.pool.execute(
        "INSERT INTO import_progress VALUES ($1, $2)", importer.fingerprint, dealt_with
    )
    await importer.run(lambda _: None, lambda _: None)
    rejected = await inquiry.pool.fetch(
        "SELECT line, reason FROM import_rejected WHERE fingerprint = $1 ORDER BY line", importer.fingerprint
    )
    taken = ["5", "6"] if dealt_with < 2 else ["6"]  # rows already dealt with are not read again
    assert await ids_in_the_system(inquiry, source) == taken
    assert [row["reason"] for row in rejected if row["line"] == 4] == ["the id stands on line 3 already"]
    assert all("yesterday" in row["reason"] for row in rejected if row["line"] == 2)
    await importer.finish(tmp_path / "report.csv")


async def test_a_killed_import_reports_every_rejected_row_once(
    inquiry: Database, command: Command, tmp_path: Path
) -> None:
    file, mapping = small_file(tmp_path, "reported", [*range(1, 801), 1, 2, 3, *range(2_001, 4_001), 4])
    process = command.start(file, mapping, "us-city")
    await kill_after(process, inquiry.pool, "reported", 1_200)

    again = await command.run(file, mapping, "us-city")
    assert again.code == 1
    assert again.summary["resumed_at"] >= 1_200
    assert [row["external_id"] for row in command.rejected] == ["1", "2", "3", "4"]


async def test_memory_stays_flat_while_the_file_grows(
    inquiry: Database, database: str, tmp_path: Path
) -> None:
    peaks = []
    for count in (2_000, 7_000):
        source = f"large{count}"
        file, mapping = small_file(tmp_path, source, range(count))
        text = "word " * 800
        lines = file.read_text(encoding="utf-8").replace("BGE-StLight(s) Out", f"BGE-StLight(s) Out,{text}")
        file.write_text(lines.replace("Id,Type,", "Id,Type,Text,"), encoding="utf-8")
        mapping.write_text(mapping.read_text(encoding="utf-8").replace("{Type} asked for", "{Text}"))
        command = Command(database, tmp_path)
        command.program = (sys.executable, "-c", REPORTS_ITS_PEAK)
        ran = await command.run(file, mapping, "us-city")
        assert ran.summary["taken"] == count, ran.stderr
        peaks.append(int(ran.stderr.split()[-1]))
    assert peaks[1] < peaks[0] * 1.1, "KiB: 5,000 more rows of 4 kB each"


# Not getrusage: over fork and exec it keeps the peak of the process that started this one.
REPORTS_ITS_PEAK = """
import sys
from pathlib import Path
from services.cli import main
code = main()
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
sys.exit(code)
"""


def small_file(folder: Path, source: str, ids: Iterable[int]) -> tuple[Path, Path]:
    """A file of us-city's services with these ids, and its mapping."""
    file, mapping = folder / f"{source}.csv", folder / f"{source}.yaml"
    file.write_text(
        "Id,Type,When\n" + "".join(f"{id_},BGE-StLight(s) Out,2024-01-02T03:04:05Z\n" for id_ in ids),
        encoding="utf-8",
    )
    mapping.write_text(
        f"source: {source}\nformat: csv\nid: Id\ntitle: '{{Type}}'\ntext: '{{Type}} asked for'\n"
        "service: {column: Type, by: name}\n"
        "time: {column: When, formats: [iso], timezone: America/New_York}\n",
        encoding="utf-8",
    )
    return file, mapping
