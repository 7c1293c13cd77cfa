"""What is published verifies after every step and every crash, and is never behind itself."""

from collections.abc import Callable, Iterable
from pathlib import Path

import asyncpg
import pytest

from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.proof import Proof
from services.audit.log.prove import Prover
from services.audit.log.publish import publish
from services.audit.log.source import Folder, read_tile
from services.audit.log.tiles import TileName
from services.audit.log.verify import verify
from shared.kafka.records import RawRecord
from tests.integration.log.conftest import SIGNER, Topic, append, connect, empty_log, open_log

pytestmark = pytest.mark.integration


async def test_a_log_behind_its_published_checkpoint_is_not_opened(
    connection: asyncpg.Connection, database: str, files: LogFiles, tmp_path: Path
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    await publish(connection, files, SIGNER)
    async with empty_log(database) as restored:
        other = await connect(database, restored)
        with pytest.raises(LogBroken, match="1 entries are published, but the log has 0"):
            await open_log(other, files.checkpoint())
        forked = await open_log(other)
        await append(forked, topic.event("subject", 2), topic.event("subject", 3))
        with pytest.raises(LogBroken, match="has another root at size 1"):
            await open_log(other, files.checkpoint())
        with pytest.raises(LogBroken, match="has another root at size 1"):
            await publish(other, files, SIGNER)
        await other.close()
    assert verify(tmp_path, SIGNER.verifier.vkey).ok


async def test_an_empty_log_can_be_published_and_verified(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path
) -> None:
    with pytest.raises(LogBroken, match="never opened"):
        await publish(connection, files, SIGNER)
    await open_log(connection)
    assert await publish(connection, files, SIGNER) == 0
    assert verify(tmp_path, SIGNER.verifier.vkey).ok


async def test_a_log_published_in_uneven_steps_verifies_after_each_and_proves_its_entries(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    records: list[RawRecord] = []
    for count in (1, 254, 1, 1, 300, 700, 0, 35):
        batch = [topic.event("subject", len(records) + 1 + n) for n in range(count)]
        records += batch
        await append(sequencer, *batch)
        assert await publish(connection, files, SIGNER) == len(records)
        assert verify(tmp_path, SIGNER.verifier.vkey).ok
    assert not (tmp_path / "tile/0/000.p").exists()
    assert (tmp_path / "tile/1/000.p/5").exists()
    note = files.checkpoint()
    assert note is not None
    folder = Folder(tmp_path)
    prover = Prover(len(records), lambda name: read_tile(folder, name))
    for index in (0, 255, 256, 1000, len(records) - 1):
        entry = await connection.fetchval("SELECT entry FROM log_entry WHERE index = $1", index)
        proof = Proof(index, tuple(prover.inclusion(index)), note, entry)
        assert proof.verify_event(records[index].value or b"", SIGNER.verifier).size == len(records)


async def test_publishing_goes_on_where_a_crash_left_it(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, *(topic.event("subject", n) for n in range(1, 301)))
    await publish(connection, files, SIGNER)
    await append(sequencer, *(topic.event("subject", n) for n in range(301, 901)))
    for survived in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(LogFiles, "add", crash_after(survived))
            with pytest.raises(OSError, match="crash"):
                await publish(connection, files, SIGNER)
        report = verify(tmp_path, SIGNER.verifier.vkey)
        assert (report.ok, report.entries) == (True, 300)
    assert await publish(connection, files, SIGNER) == 900
    assert verify(tmp_path, SIGNER.verifier.vkey).ok


@pytest.mark.parametrize(("lost", "now"), [(300, 301), (301, 300), (290, 700), (600, 700), (900, 281)])
async def test_files_of_a_future_that_a_restore_took_back_are_replaced(
    connection: asyncpg.Connection,
    files: LogFiles,
    *,
    schema: str,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost: int,
    now: int,
) -> None:
    past, topic = await open_log(connection), Topic()
    await append(past, *(topic.event("subject", n) for n in range(1, 281)))
    await publish(connection, files, SIGNER)
    async with empty_log(database) as restored:
        await restore(connection, schema, restored)
        await append(past, *(topic.event("subject", n) for n in range(281, lost + 1)))
        with monkeypatch.context() as patched:
            patched.setattr(LogFiles, "publish", no_checkpoint)
            with pytest.raises(OSError, match="crash"):
                await publish(connection, files, SIGNER)
        other = await connect(database, restored)
        again = await open_log(other, files.checkpoint())
        for size in (now, now + 1, 1000):
            await append(again, *(topic.event("subject", n) for n in range(again.size + 1, size + 1)))
            assert await publish(other, files, SIGNER) == size
            assert verify(tmp_path, SIGNER.verifier.vkey).failure is None
        await other.close()


def no_checkpoint(self: LogFiles, note: bytes) -> None:
    raise OSError("crash")


async def restore(connection: asyncpg.Connection, backed_up: str, into: str) -> None:
    """Fills an empty log with what another has at the moment."""
    tables = "log_subject log_entry log_words log_tile log_checkpoint log_cursor"
    for table in tables.split():
        await connection.execute(f"INSERT INTO {into}.{table} SELECT * FROM {backed_up}.{table}")
    await connection.execute(
        f"UPDATE {into}.log_head SET (epoch, size, edge, subjects, vkey) = "
        f"(SELECT epoch, size, edge, subjects, vkey FROM {backed_up}.log_head)"
    )


def crash_after(calls: int) -> Callable[[LogFiles, Iterable[tuple[TileName, bytes]], int], int]:
    """An `add` that works so many times and then dies."""
    add, left = LogFiles.add, iter(range(calls))

    def dying(self: LogFiles, files: Iterable[tuple[TileName, bytes]], published: int) -> int:
        if next(left, None) is None:
            raise OSError("crash")
        return add(self, files, published)

    return dying
