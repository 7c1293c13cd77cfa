"""The drill of docs/howto/back-up-and-restore.md: load, backup, more load, a crash, a restore."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import asyncpg
import httpx
import orjson
import pytest

from deploy.local.pair import Pair
from harness.city import Case, Citizens, Departments
from harness.installation import Installation
from services.audit.log.keyfile import parse
from services.audit.log.verify import verify
from services.backup import put_back
from shared.kafka.client import Reader, existing_topics, read_until
from shared.kafka.records import RawRecord
from shared.settings import SERVICES
from tests.paths import REPO

WORDS = "Nobody may read this sentence after its erasure"
CONCERN = {"title": "井盖松动", "text": WORDS, "service_code": "municipal-manhole", "area": "yunxi"}
Place = tuple[str, str, int, str]


def civicloom(city: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An operator's command with the city's settings."""
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env={"PATH": "/usr/bin:/bin", **city.environment(city.copy("audit"))},
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )


async def lose_the_database(city: Installation, pair: Pair) -> None:
    name = urlsplit(city.database_url).path[1:]
    connection = await asyncpg.connect(pair.database_url)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()


async def erase(client: httpx.AsyncClient, city: Installation, case: Case) -> None:
    answer = await client.post(
        f"{city.url('inquiry')}/api/inquiry/v1/inquiries/{case.id}/erasure",
        json={"secret": case.secret},
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )
    assert answer.status_code == 200, answer.text


async def all_records(city: Installation) -> list[RawRecord]:
    """Everything that services have written."""
    names = await existing_topics(city.bootstrap, "test")
    own = [name for name in names if name.startswith(f"{city.namespace}.") and ".actions." not in name]
    reader = Reader(city.bootstrap, "test", own)
    await reader.start({})
    try:
        return [record async for batch in read_until(reader, await reader.ends()) for record in batch]
    finally:
        await reader.stop()


def events_by_place(records: list[RawRecord]) -> Mapping[Place, set[bytes]]:
    places: defaultdict[Place, set[bytes]] = defaultdict(set)
    for record in records:
        event = orjson.loads(record.value or b"")
        places[event["source"], event["subject"], event["epoch"], event["sequence"]].add(record.value or b"")
    return places


def forks(records: list[RawRecord]) -> list[Place]:
    return [place for place, values in events_by_place(records).items() if len(values) > 1]


async def tables(city: Installation, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(city.database_url)
    try:
        found: list[asyncpg.Record] = await connection.fetch(statement)
        return found
    finally:
        await connection.close()


@asynccontextmanager
async def lived_in(pair: Pair, folder: Path) -> AsyncIterator[tuple[Installation, Citizens]]:
    """A city whose departments work. Those who ask are ours."""
    async with Installation(pair.database_url, pair.bootstrap, folder) as city:
        departments = Departments(city, city.units)
        playing = asyncio.create_task(departments.run())
        try:
            yield city, Citizens(city, Random(20261128))
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def settled(city: Installation, cases: list[Case], seconds: float = 60) -> None:
    """Returns when each case has a reply, is closed or waits for a dispatcher, and all outboxes are empty."""
    async with asyncio.timeout(seconds):
        while True:
            rows = await tables(city, "SELECT id, stage, holding FROM inquiry.inquiry")
            states = {row["id"]: (row["stage"], row["holding"]) for row in rows}
            open_ = [case for case in cases if states.get(case.id, ("", ""))[0] not in ("replied", "closed")]
            waiting = [
                (await tables(city, f"SELECT count(*) AS n FROM {service}.outbox"))[0]["n"]
                for service in SERVICES
            ]
            if not any(waiting) and all(case.id in {c.id for c in cases} for case in open_):
                triaged = {row["id"] for row in await tables(city, "SELECT id FROM routing.case_file")}
                if all(case.id in triaged for case in open_):
                    return
            await asyncio.sleep(0.3)


@pytest.mark.timeout(400)
async def test_the_drill(pair: Pair, open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every acknowledged case is there, nothing forks, what was erased stays erased, the log goes on."""
    backup = open_tmp_path / "backup"
    async with lived_in(pair, open_tmp_path / "city") as (city, citizens), httpx.AsyncClient() as client:
        before = [await citizens.ask(client) for _ in range(12)]
        doomed = await citizens.ask(client, CONCERN)
        await settled(city, [*before, doomed])
        done = civicloom(city, "backup", str(backup), "--json")
        assert done.returncode == 0, done.stderr
        after = [await citizens.ask(client) for _ in range(12)]
        doomed_later = await citizens.ask(client, CONCERN)
        await settled(city, [*before, *after, doomed_later])
        assert await readable(city, WORDS)  # else their absence later would show nothing
        for case in before[:6]:
            await citizens.evaluate(client, case)
        await erase(client, city, doomed)
        await erase(client, city, doomed_later)
        await settled(city, [*before, *after, doomed, doomed_later])
        states = dict(await tables(city, "SELECT id, stage FROM inquiry.inquiry"))
        published = (city.folder / "data" / "log" / "checkpoint").read_bytes()
        for service in SERVICES:
            city.kill(service)
        await lose_the_database(city, pair)
        for name, value in city.environment(city.copy("audit")).items():
            monkeypatch.setenv(name, value)
        await put_back(backup)

        # The services themselves refuse to work on it.
        said = await all_records(city)
        for service in SERVICES:
            city.start(service)
        async with asyncio.timeout(60):
            while "civicloom restore" not in await readiness(client, city):
                await asyncio.sleep(0.2)
        assert (await ask(client, city)).status_code == 503
        for service in SERVICES:
            city.kill(service)
        assert len(await all_records(city)) == len(said)

        done = civicloom(city, "restore", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        print(done.stdout)
        assert {case.number for case in (*after, doomed_later)} <= report["cases"].keys()
        for service in SERVICES:
            city.start(service)
        await city.ready()
        more = [await citizens.ask(client) for _ in range(6)]
        await settled(city, [*before, *after, *more])

        restored = dict(await tables(city, "SELECT id, stage FROM inquiry.inquiry"))
        assert {id_: restored[id_] for id_ in states} == states
        records = await all_records(city)
        assert forks(records) == []
        assert twice(records) == {}
        assert await readable(city, WORDS) == []
        check_log(city, published)


async def readiness(client: httpx.AsyncClient, city: Installation) -> str:
    try:
        return (await client.get(f"{city.url('inquiry')}/readyz")).text
    except httpx.HTTPError:
        return ""


async def ask(client: httpx.AsyncClient, city: Installation) -> httpx.Response:
    return await client.post(
        f"{city.url('inquiry')}/api/inquiry/v1/inquiries",
        json=CONCERN,
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )


def twice(records: list[RawRecord]) -> dict[str, int]:
    """Ids of records that a unit got more than once."""
    ids = [orjson.loads(record.value or b"")["id"] for record in records if ".department." in record.topic]
    return {id_: count for id_, count in Counter(ids).items() if count > 1}


async def readable(city: Installation, words: str) -> list[str]:
    """The columns of all tables that still hold a text."""
    found = []
    columns = await tables(
        city,
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema IN ('publisher', 'inquiry', 'routing', 'audit') "
        "AND data_type IN ('text', 'bytea', 'jsonb')",
    )
    for schema, table, column, kind in columns:
        shown = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
        rows = await tables(
            city, f"SELECT count(*) AS n FROM {schema}.{table} WHERE {shown} LIKE '%{words}%'"
        )
        if rows[0]["n"]:
            found.append(f"{schema}.{table}.{column}")
    return found


def check_log(city: Installation, published: bytes) -> None:
    """The log verifies and continues what was published before."""
    data = city.folder / "data"
    vkey = parse((data / "keys" / "log.key").read_text()).verifier.vkey
    report = verify(data / "log", vkey, since=published)
    assert report.failure is None, report.failure
    assert report.checkpoint is not None
    assert report.checkpoint.size > int(published.split(b"\n")[1])
