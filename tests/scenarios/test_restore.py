"""The drill of docs/howto/back-up-and-restore.md: load, backup, more load, a crash, a restore.

Afterwards the checker of histories reads all topics, tables, mails and the log, as after a run of faults.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import orjson
import pytest

from deploy.local.pair import Pair
from harness.city import Case, Citizens, Departments
from harness.faults import Injected
from harness.installation import Command, Installation, as_shipped
from harness.letters import send_letters
from harness.observation import Observation
from services.audit.log.keyfile import parse
from services.audit.log.verify import verify
from shared.kafka.client import Reader, read_until
from shared.kafka.records import RawRecord
from shared.settings import SERVICES
from tests.chaos.checks import check_run
from tests.chaos.sabotage import sabotaged
from tests.integration.publisher.sinks import MailSink, mail_sink
from tests.paths import REPO

WORDS = "Nobody may read this sentence after its erasure"
CONCERN = {"title": "井盖松动", "text": WORDS, "service_code": "municipal-manhole", "area": "yunxi"}
Place = tuple[str, str, int, str]


@dataclass(slots=True)
class City:
    """An installation whose departments work, and what its citizens were answered, with the moments."""

    installation: Installation
    observation: Observation
    citizens: Citizens
    mail: MailSink
    client: httpx.AsyncClient
    answered: dict[str, float] = field(default_factory=dict)

    async def ask(self, count: int = 1) -> list[Case]:
        cases = []
        for _ in range(count):
            cases.append(await self.citizens.ask(self.client))
            self.answered[cases[-1].id] = time.monotonic()
        return cases

    async def ask_until(self, stop: asyncio.Event) -> None:
        """Nobody repeats a request: the keys of requests from after the backup are lost with the database."""
        while not stop.is_set():
            key = str(uuid.uuid4())
            try:
                answer = await self.client.post(
                    f"{self.installation.url('inquiry')}/api/inquiry/v1/inquiries",
                    json={**CONCERN, "text": "车一过就响。", "contact": {"email": f"{key}@citizens.example"}},
                    headers={"Idempotency-Key": key},
                )
            except httpx.HTTPError:
                return  # the crash
            taken = answer.json()
            case = Case(taken["id"], taken["number"], taken["secret"], taken["sequence"])
            self.citizens.cases[key] = case
            self.answered[case.id] = time.monotonic()
            await asyncio.sleep(0.02)

    async def ask_with_words(self) -> Case:
        return await self.citizens.ask(self.client, CONCERN)

    async def erase(self, case: Case) -> None:
        answer = await self.client.post(
            f"{self.installation.url('inquiry')}/api/inquiry/v1/inquiries/{case.id}/erasure",
            json={"secret": case.secret},
            headers={"Idempotency-Key": str(uuid.uuid4())},
        )
        assert answer.status_code == 200, answer.text

    async def restart(self) -> None:
        for service in SERVICES:
            self.installation.start(service)
        await self.installation.ready()

    def kill(self) -> None:
        for service in SERVICES:
            self.installation.kill(service)

    def civicloom(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """An operator's command with the city's settings."""
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            env=self.environment,
            cwd=REPO,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        copy = self.installation.copy("audit")
        return {"PATH": "/usr/bin:/bin", **self.installation.environment(copy)}

    @property
    def log(self) -> Path:
        return self.installation.folder / "data" / "log"

    async def tables(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.installation.database_url)
        try:
            found: list[Any] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    async def records(self) -> list[RawRecord]:
        """Everything that services have written."""
        own = [name for name in self.observation.topics if ".actions." not in name]
        reader = Reader(self.installation.access, "test", own)
        await reader.start({})
        try:
            return [record async for batch in read_until(reader, await reader.ends()) for record in batch]
        finally:
            await reader.stop()


@asynccontextmanager
async def lived_in(pair: Pair, folder: Path, command: Command = as_shipped) -> AsyncIterator[City]:
    async with AsyncExitStack() as stack:
        mail = await stack.enter_async_context(mail_sink())
        installation = await stack.enter_async_context(
            Installation(
                pair.database_url,
                pair.access,
                folder,
                environment={"SMTP_URL": mail.url},
                command=command,
            )
        )
        observation = await stack.enter_async_context(Observation(installation))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=10))
        departments = asyncio.create_task(Departments(installation, installation.units).run())
        try:
            yield City(installation, observation, Citizens(installation, Random(20261128)), mail, client)
        finally:
            departments.cancel()
            await asyncio.gather(departments, return_exceptions=True)


async def lose_the_database(city: City, pair: Pair) -> None:
    name = urlsplit(city.installation.database_url).path[1:]
    connection = await asyncpg.connect(pair.database_url)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()


def put_back(city: City, backup: Path) -> None:
    """The first half of `civicloom restore FOLDER`: as an operator who does not know the second."""
    script = "import asyncio, sys, pathlib; from services.backup import put_back; "
    script += "asyncio.run(put_back(pathlib.Path(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", script, str(backup)], env=city.environment, cwd=REPO, check=True)


def forks(records: list[RawRecord]) -> list[Place]:
    """The places that have two different events."""
    places: defaultdict[Place, set[bytes]] = defaultdict(set)
    for record in records:
        event = orjson.loads(record.value or b"")
        place = (event["source"], event["subject"], event["epoch"], event["sequence"])
        places[place].add(record.value or b"")
    return [place for place, values in places.items() if len(values) > 1]


def twice(records: list[RawRecord]) -> dict[str, int]:
    """The ids of records that a unit got more than once."""
    ids = [orjson.loads(record.value or b"")["id"] for record in records if ".department." in record.topic]
    return {id_: count for id_, count in Counter(ids).items() if count > 1}


def received(records: list[RawRecord]) -> set[str]:
    events = [orjson.loads(record.value or b"") for record in records if ".inquiry." in record.topic]
    return {event["subject"] for event in events if event["type"] == "civic.inquiry.received.v1"}


async def readable(city: City, words: str) -> list[str]:
    """The columns of all tables that hold a text."""
    found = []
    columns = await city.tables(
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema IN ('publisher', 'inquiry', 'routing', 'audit') "
        "AND data_type IN ('text', 'bytea', 'jsonb')",
    )
    for schema, table, column, kind in columns:
        shown = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
        rows = await city.tables(f"SELECT FROM {schema}.{table} WHERE {shown} LIKE '%{words}%'")
        found += [f"{schema}.{table}.{column}"] * bool(rows)
    return found


def check_log(city: City, published: bytes) -> None:
    """The log verifies and continues what was published before."""
    key = parse((city.log.parent / "keys" / "log.key").read_text())
    report = verify(city.log, key.verifier.vkey, since=published)
    assert report.failure is None, report.failure
    assert report.checkpoint is not None
    assert report.checkpoint.size > int(published.split(b"\n")[1])


async def violations(city: City, since_ms: int, erased: Collection[Case], said: list[RawRecord]) -> list[str]:
    """What the checker of histories finds, but for what it does not know: of erased cases, and of the crash.

    A letter whose sending had not been stated as the database was lost is sent again, under the same id.
    """
    letters = Counter(identifier.strip("<>").partition("@")[0] for identifier in city.mail.ids())
    _, found = await check_run(
        city.installation, city.observation, city.citizens, Injected(since_ms=since_ms), letters
    )
    # A case that was taken in as the services were killed is there without an answer.
    unanswered = re.compile(r"I4: citizens' cases: \S+ is in events alone")
    # The log says of each partition that its tables were restored.
    reset = re.compile(r"I9: an entry of the kind reset on reset/")
    stated = {event["data"].get("notice") for event in map(_event, said)}
    repeated = re.compile(r"I2: publisher: Notice\(id='([^']+)'.* came 2 times")
    return [
        line
        for line in map(str, found)
        if not unanswered.fullmatch(line)
        and not reset.match(line)
        and not any(case.id in line for case in erased)
        and not ((match := repeated.fullmatch(line)) and match[1] not in stated)
    ]


def _event(record: RawRecord) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(record.value or b"")
    return event


@pytest.mark.timeout(500)
async def test_the_drill(pair: Pair, open_tmp_path: Path) -> None:
    """Every acknowledged case is there, nothing forks, what was erased stays erased, the log goes on."""
    backup = open_tmp_path / "backup"
    async with lived_in(pair, open_tmp_path / "city") as city:
        before = await city.ask(12)
        doomed = await city.ask_with_words()
        await city.observation.settle(60)
        done = city.civicloom("backup", str(backup), "--json")
        assert done.returncode == 0, done.stderr

        doomed_later = await city.ask_with_words()
        after = await city.ask(12)
        await city.observation.settle(60)
        assert await readable(city, WORDS)  # else its absence below would show nothing
        for case in before[:6] + after[:3]:
            await city.citizens.evaluate(city.client, case, solved="no" if case in before[:2] else "yes")
        await city.erase(doomed)
        await city.erase(doomed_later)
        await city.observation.settle(60)
        stages = dict(await city.tables("SELECT id, stage FROM inquiry.inquiry"))

        stop = asyncio.Event()
        asking = [asyncio.create_task(city.ask_until(stop)) for _ in range(4)]
        await asyncio.sleep(5)
        since_ms, killed = int(time.time() * 1000), time.monotonic()
        city.kill()
        stop.set()
        await asyncio.gather(*asking)
        answered = set(city.answered)
        published = (city.log / "checkpoint").read_bytes()
        said = await city.records()
        await lose_the_database(city, pair)
        put_back(city, backup)
        await check_that_they_refuse(city, said)
        report = await restore(city)
        await city.restart()

        # What had not left the database when it was lost is lost: it was answered a moment before.
        lost = answered - received(said)
        assert all(killed - city.answered[case] < 1 for case in lost)
        for key in [key for key, case in city.citizens.cases.items() if case.id in lost]:
            del city.citizens.cases[key]
        rebuilt = {case.number for case in [*after, doomed_later]}
        assert rebuilt <= report["cases"].keys()
        await city.ask(6)
        await city.observation.settle(90)
        await send_letters(city.installation, 60)
        await city.observation.settle(90)
        now = dict(await city.tables("SELECT id, stage FROM inquiry.inquiry"))
        assert {id_: now.get(id_) for id_ in stages} == stages
        records = await city.records()
        assert forks(records) == []
        assert twice(records) == {}
        assert await readable(city, WORDS) == []
        check_log(city, published)
        found = await violations(city, since_ms, [doomed, doomed_later], said)
        assert not found, "\n".join(found)


async def check_that_they_refuse(city: City, said: list[RawRecord]) -> None:
    """Services on the old database are not ready, take nothing and say nothing."""
    for service in SERVICES:
        city.installation.start(service)
    async with asyncio.timeout(60):
        while "civicloom restore" not in await readiness(city):
            await asyncio.sleep(0.2)
    answer = await city.client.post(
        f"{city.installation.url('inquiry')}/api/inquiry/v1/inquiries",
        json=CONCERN,
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )
    assert answer.status_code == 503
    city.kill()
    assert forks(await city.records()) == forks(said) == []


async def readiness(city: City) -> str:
    try:
        return (await city.client.get(f"{city.installation.url('inquiry')}/readyz")).text
    except httpx.HTTPError:
        return ""


async def restore(city: City) -> dict[str, Any]:
    """Restores; attempts are killed on the way, a little later each time, until one comes to its end."""
    command = [sys.executable, "-m", "services.cli", "restore", "--json"]
    for seconds in (2.5, 3.5, 5.0, 120.0):
        process = await asyncio.create_subprocess_exec(
            *command, env=city.environment, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            continue
        assert process.returncode == 0, (out + err).decode()
        report: dict[str, Any] = json.loads(out)
        return report
    raise AssertionError("a restore takes longer than two minutes")


@pytest.mark.timeout(300)
async def test_without_the_fence_the_history_forks(pair: Pair, open_tmp_path: Path) -> None:
    """The control: what the fence prevents is what the drill looks for."""
    backup = open_tmp_path / "backup"
    async with lived_in(pair, open_tmp_path / "city", sabotaged("no-fence")) as city:
        await city.ask(6)
        assert city.civicloom("backup", str(backup)).returncode == 0
        await city.ask(6)
        await city.observation.settle(60)
        city.kill()
        await lose_the_database(city, pair)
        put_back(city, backup)
        for service in ("publisher", "inquiry", "routing"):  # audit refuses by itself
            city.installation.start(service)
        async with asyncio.timeout(120):
            while not forks(await city.records()):
                await asyncio.sleep(1)
