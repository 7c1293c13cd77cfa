"""`civicloom audit resume` and `gaps` on audit's real tables, while nothing else runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.schema import SECRET, open_service_database
from services import cli
from services.audit.log import queries
from services.audit.log.continuity import Refusal
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.publish import publish
from services.audit.log.sequencer import Sequencer
from services.audit.log.subjects import KeyBox
from shared.clock import machine_now
from shared.unit_of_work.database import Database
from tests.integration.log.conftest import Topic, append

pytestmark = pytest.mark.integration

SIGNER, KEYS = Signer("audit.example.gov/log", bytes(range(32))), KeyBox(bytes(32))


@pytest.fixture
async def audit(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "audit")
    for name, value in {"DATABASE_URL": database, "SECRET_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    yield opened
    await opened.close()


def run(*arguments: str) -> int:
    """The command on a loop of its own, as the shell starts it."""
    with ThreadPoolExecutor(1) as shell:
        return shell.submit(cli.main, ["audit", *arguments]).result()


async def test_a_log_that_stands_is_resumed_published_verified_and_the_reset_named(
    audit: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic, files = Topic(), LogFiles(tmp_path)
    connection = await audit.connect()
    sequencer = await Sequencer.open(connection, SIGNER.verifier, KEYS, None)
    await append(sequencer, *(topic.event("subject", n) for n in (1, 2, 3)))
    place = f"{topic.name}/0"

    assert await asyncio.to_thread(run, "resume", place, "--reason", "none") == 0
    assert capsys.readouterr().out == f"nothing to resume: the log does not stand at {place}\n"

    for _ in range(2):
        refusal = Refusal(topic.name, 0, 3, 0, "was logged up to offset 3, but ends at 1 now")
        await queries.keep_refusals(audit.pool, [refusal], machine_now())
        assert (
            await asyncio.to_thread(run, "resume", place, "--reason", "a power cut", "--operator", "ann") == 0
        )
        sequencer = await Sequencer.open(connection, SIGNER.verifier, KEYS, files.checkpoint())
        topic.offset = 0
        await append(sequencer, *(topic.event("other", n) for n in (1, 2, 3)))
        await publish(connection, files, SIGNER)
    out = capsys.readouterr().out
    assert out.startswith(f"entry 3: {place} was logged up to offset 3 and is read again from 0")

    assert await asyncio.to_thread(run, "resume", place, "--reason", "again", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"resumed": None}
    assert await asyncio.to_thread(run, "verify", str(tmp_path), "--key", SIGNER.verifier.vkey) == 0
    out = capsys.readouterr().out
    assert out.startswith("verified")
    assert f"entry 3: {place} was logged up to" in out
    await connection.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense", "--reason", "x"], "'nonsense' is not topic/partition"),
        (["t.inquiry.v1/x", "--reason", "x"], "is not topic/partition"),
        (["t.inquiry.v1/-1", "--reason", "x"], "is not topic/partition"),
        (["/0", "--reason", "x"], "is not topic/partition"),
        (["t.inquiry.v1/0", "--reason", " "], "say what has happened"),
        (["t.inquiry.v1/0"], "--reason"),
        (["t.nowhere.v1/0", "--reason", "x"], "the log has never read t.nowhere.v1/0"),
    ],
)
async def test_nonsense_is_one_sentence_and_exit_code_2(
    audit: Database, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert await asyncio.to_thread(run, "resume", *arguments) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


async def test_a_database_that_is_away_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://postgres@127.0.0.1:1/nowhere")
    monkeypatch.setenv("SECRET_KEY", SECRET)
    assert await asyncio.to_thread(run, "resume", "t.inquiry.v1/0", "--reason", "x") == 1
    assert capsys.readouterr().err.startswith("civicloom: the database of audit does not answer")


async def test_missing_events_are_listed_until_they_come_or_are_given_up_on(
    audit: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    topic, connection = Topic("routing"), await audit.connect()
    sequencer = await Sequencer.open(connection, SIGNER.verifier, KEYS, None)
    await append(sequencer, topic.event("case", 1), topic.event("case", 4), topic.event("other", 2))
    assert await asyncio.to_thread(run, "gaps") == 1
    out = capsys.readouterr().out
    assert "case  /services/routing  2 to 3  missing" in out
    assert "other  /services/routing  1  missing" in out

    give_up = ("gaps", "--accept", "case", "--reason", "lost", "--operator", "ann")
    assert await asyncio.to_thread(run, *give_up, "--json") == 1
    assert [one["subject"] for one in json.loads(capsys.readouterr().out)] == ["other"]
    assert await queries.missing_events(audit.pool, machine_now()) == 1
    await append(sequencer, topic.event("other", 1), topic.event("case", 2))
    assert await asyncio.to_thread(run, "gaps") == 0
    assert capsys.readouterr().out == "no gaps\n"
    assert await asyncio.to_thread(run, "gaps", "--all") == 0
    said = f"case  /services/routing  3  accepted by ann on {machine_now():%Y-%m-%d}: lost"
    assert said in capsys.readouterr().out

    assert await asyncio.to_thread(run, *give_up) == 2
    assert "nothing is missing of case" in capsys.readouterr().err
    assert await asyncio.to_thread(run, "gaps", "--accept", "case") == 2
    await connection.close()
