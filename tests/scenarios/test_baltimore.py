"""10,000 service requests of Baltimore through the whole system: imported, dispatched, triaged, logged.

Meanwhile the import, the broker and two services are interrupted: the file alone says what the end state is.
"""

import asyncio
import hashlib
import json
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from deploy.local.pair import Pair
from harness.installation import Installation
from services.audit.log.entry import commitment
from services.audit.log.tiles import TileName, split_bundle, tile_names
from services.audit.log.verify import verify
from services.cli import main as civicloom
from shared.policy.loader import load_pack
from shared.settings import SERVICES
from tests.imported import (
    BALTIMORE,
    MAPPINGS,
    Command,
    at_rest,
    external_ids,
    kill_after,
    nothing_is_left_of_imports,
    offers,
    read_topics,
    rows_of,
)
from tests.paths import REPO
from tests.waiting import until

pytestmark = pytest.mark.integration

MAPPING = MAPPINGS / "baltimore311.yaml"
KEY = secrets.token_hex(32)


@dataclass
class Baltimore:
    """The city after the import: `agency` of each row by its id, in the codes of the pack."""

    city: Installation
    pool: asyncpg.Pool
    agency: dict[str, str]
    imported: dict[str, str]


@pytest.fixture(scope="module")
async def baltimore(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Baltimore]:
    folder = tmp_path_factory.mktemp("baltimore")
    keys = folder / "keys.yaml"
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    keys.write_text(f"[{{name: dispatcher, sha256: {digest}, scopes: [dispatch]}}]")
    codes = {unit.name: unit.code for unit in load_pack(REPO / "policies" / "us-city").departments}
    agency = {row["SRRecordID"]: codes[row["Agency"]] for row in rows_of(BALTIMORE)}
    environment = {"API_KEYS_FILE": str(keys)}
    async with Installation(
        pair.database_url, pair.access, folder, pack="us-city", environment=environment
    ) as city:
        command = Command(city.database_url, folder, city.namespace)
        async with asyncpg.create_pool(city.database_url, min_size=1, max_size=2) as pool:
            await interrupted_import(command, city, pool, pair)
            await at_rest(city, pool)
            yield Baltimore(city, pool, agency, await external_ids(pool, "baltimore-311"))


async def interrupted_import(command: Command, city: Installation, pool: asyncpg.Pool, pair: Pair) -> None:
    """Import, routing, broker and inquiry go down one after the other, each while the others work."""
    await kill_after(command.start(BALTIMORE, MAPPING, "us-city"), pool, "baltimore-311", 2_000)
    again = command.start(BALTIMORE, MAPPING, "us-city")
    city.kill("routing")
    if pair.kafka:  # a broker from the environment is not ours to stop
        pair.kafka.stop()
        pair.kafka.start()
    city.start("routing")
    city.kill("inquiry")
    city.start("inquiry")
    ran = await command.end(again)
    assert ran.code == 0, ran.stderr
    assert 2_000 <= ran.summary["resumed_at"] == ran.summary["already"] < 10_000
    assert ran.summary["taken"] == 10_000 - ran.summary["already"]
    assert await nothing_is_left_of_imports(pool)
    await city.ready()


async def test_every_row_is_in_the_system_once_with_what_the_file_says(baltimore: Baltimore) -> None:
    rows = {row["SRRecordID"]: row for row in rows_of(BALTIMORE)}
    assert sorted(baltimore.imported.values()) == sorted(rows)
    positions = 0
    intakes = await received(baltimore.city)
    assert intakes.keys() == baltimore.imported.keys()
    for inquiry, (data, words) in intakes.items():
        row = rows[baltimore.imported[inquiry]]
        assert words["title"] == row["SRType"]
        assert words.get("place", "") == row["Address"]
        assert data["notify"] is False
        assert data["channel"] == "import"
        assert data["hint"] == baltimore.agency[row["SRRecordID"]]
        positions += "latitude" in words
    # 590 rows have no coordinates, 892 whole degrees, one lies 30 km off its address.
    assert positions == 10_000 - 590 - 892 - 1


async def received(city: Installation) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Data and words of each intake by inquiry id. A relay that was killed may have sent it twice, alike."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for record in await read_topics(city.access, [f"{city.namespace}.inquiry.v1"]):
        event = orjson.loads(record.value)
        if event["type"] == "civic.inquiry.received.v1":
            intake = (event["data"], orjson.loads(dict(record.headers)["words"]))
            assert found.setdefault(event["subject"], intake) == intake
    return found


async def triage(city: Installation, http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        parameters = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
        answer = await http.get(f"{city.url('routing')}/api/routing/v1/triage", params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            assert page["total"] == len(found)
            return found


async def test_a_service_shared_by_agencies_waits_in_triage_with_the_agency_of_the_file_as_a_hint(
    baltimore: Baltimore,
) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        waiting = await triage(baltimore.city, http)
        assert len(waiting) == 133
        assert len({item["service_code"] for item in waiting}) == 5
        assert all(item["hint"] == baltimore.agency[baltimore.imported[item["id"]]] for item in waiting)

        for item in waiting:
            answer = await http.post(
                f"{baltimore.city.url('routing')}/api/routing/v1/triage/{item['id']}/dispatch",
                json={"lead": item["hint"]},
                headers={"Idempotency-Key": f"place-{item['id']}"},
            )
            assert answer.status_code == 200, answer.text
        assert await triage(baltimore.city, http) == []
    await at_rest(baltimore.city, baltimore.pool)


async def test_then_each_department_has_exactly_the_cases_that_the_file_gives_to_it(
    baltimore: Baltimore,
) -> None:
    offered = {
        unit: sorted(baltimore.imported[event["subject"]] for event in events)
        for unit, events in (await offers(baltimore.city)).items()
    }
    expected = {
        unit: sorted(id_ for id_, agency in baltimore.agency.items() if agency == unit)
        for unit in baltimore.city.units
    }
    assert sum(map(len, expected.values())) == 10_000
    assert offered == expected


async def test_every_case_is_dispatched_and_no_notice_was_sent(baltimore: Baltimore) -> None:
    cases = await baltimore.pool.fetch("SELECT external_id, holding, lead, due FROM inquiry.inquiry")
    assert Counter(row["lead"] == baltimore.agency[row["external_id"]] for row in cases) == {True: 10_000}
    assert all(row["due"] is not None for row in cases)
    assert await baltimore.pool.fetchval("SELECT count(*) FROM publisher.delivery") == 0
    timers = await baltimore.pool.fetchval("SELECT count(DISTINCT aggregate) FROM inquiry.timer")
    assert timers == 10_000, "a clock runs for each"


async def test_every_event_is_under_the_checkpoint_once_and_anyone_can_verify_it(
    baltimore: Baltimore, tmp_path: Path
) -> None:
    city = baltimore.city
    folder = city.folder / "data" / "log"
    topics = [f"{city.namespace}.{service}.v1" for service in SERVICES]
    sent = {commitment(record.value) for record in await read_topics(city.access, topics)}
    assert len(sent) >= 3 * 10_000  # received, dispatched, delivered
    await until(lambda: _size(folder) >= len(sent))

    logged = [entry["commitment"] for entry in _entries(folder) if entry["kind"] == "event"]
    assert Counter(logged) == Counter(sent)

    async with httpx.AsyncClient() as http:
        key = (await http.get(f"{city.url('audit')}/log/key")).text.strip()
    assert await asyncio.to_thread(civicloom, ["audit", "verify", str(folder), "--key", key]) == 0
    by_url = ["audit", "verify", f"{city.url('audit')}/log", "--key", key, "--json"]
    assert await asyncio.to_thread(civicloom, by_url) == 0

    copied = tmp_path / "log"
    shutil.copytree(folder, copied)
    for path in _some_files(copied):
        bit = secrets.randbelow(8 * path.stat().st_size)
        assert await asyncio.to_thread(_place_of_a_flipped_bit, copied, path, bit, key), (path, bit)
    checkpoint = copied / "checkpoint"
    for bit in range(8 * checkpoint.stat().st_size):
        assert _place_of_a_flipped_bit(copied, checkpoint, bit, key) == "checkpoint", bit
    assert verify(copied, key).ok, "every bit was put back"


def test_the_command_says_where_a_bit_is_wrong(
    baltimore: Baltimore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = httpx.get(f"{baltimore.city.url('audit')}/log/key").text.strip()
    copied = tmp_path / "log"
    shutil.copytree(baltimore.city.folder / "data" / "log", copied)
    bundle = copied / TileName("entries", 7).path
    bundle.write_bytes(_flipped(bundle.read_bytes(), 12_345))
    assert civicloom(["audit", "verify", str(copied), "--key", key, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["failure"]["place"].startswith(TileName("entries", 7).path)


def _size(folder: Path) -> int:
    return int((folder / "checkpoint").read_bytes().split(b"\n", 2)[1])


def _entries(folder: Path) -> list[dict[str, Any]]:
    return [
        orjson.loads(entry)
        for name in tile_names(_size(folder), "entries")
        for entry in split_bundle((folder / name.path).read_bytes(), name.width)
    ]


def _some_files(folder: Path) -> list[Path]:
    """Of each kind the first, one in the middle and the last: all are too many to verify the log for each."""
    size = _size(folder)
    found = []
    for level in (0, 1, "entries"):
        names = list(tile_names(size, level))  # type: ignore[arg-type]
        found += [folder / names[n].path for n in {0, len(names) // 2, len(names) - 1}]
    return found


def _place_of_a_flipped_bit(folder: Path, path: Path, bit: int, key: str) -> str | None:
    """What `audit verify` complains about while one bit of the file is wrong."""
    right = path.read_bytes()
    path.write_bytes(_flipped(right, bit))
    try:
        report = verify(folder, key)
    finally:
        path.write_bytes(right)
    return report.failure.place if report.failure else None


def _flipped(data: bytes, bit: int) -> bytes:
    wrong = bytearray(data)
    wrong[bit // 8] ^= 1 << bit % 8
    return bytes(wrong)
