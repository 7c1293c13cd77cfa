"""Words are kept under a key of their subject, until it is erased."""

from pathlib import Path

import asyncpg
import orjson
import pytest

from services.audit.log.checkpoint import open_checkpoint
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.merkle_proofs import verify_consistency
from services.audit.log.parsing import ERASED
from services.audit.log.prove import Prover
from services.audit.log.publish import publish
from services.audit.log.source import Folder, read_tile
from services.audit.log.subjects import Subject
from services.audit.log.verify import verify
from tests.integration.log.conftest import KEYS, SIGNER, Topic, append, entries, open_log

pytestmark = pytest.mark.integration


async def test_words_are_sealed_and_come_back_with_the_key(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    words = orjson.dumps({"salt": "x", "text": "路灯坏了"})
    await append(sequencer, topic.event("subject", 1, words))
    row = await connection.fetchrow(
        "SELECT s.no, s.subject, s.key, w.sealed FROM log_words w JOIN log_subject s ON s.no = w.subject_no"
    )
    assert row is not None
    assert words not in row["sealed"]
    assert Subject(row["no"], KEYS.unwrap(row["subject"], row["key"])).unseal(0, row["sealed"]) == words
    with pytest.raises(LogBroken):
        KEYS.unwrap("another", row["key"])


async def test_words_that_do_not_fit_their_hash_are_not_kept(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    record = topic.event("subject", 1, b'{"salt":"x"}')
    appended = await append(sequencer, topic.record(record.value, b'{"salt":"y"}'))
    assert (appended.size, appended.words_refused) == (1, 1)
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 0


async def test_erasure_destroys_key_and_words_and_leaves_the_tree_as_it_is(
    connection: asyncpg.Connection, files: LogFiles, tmp_path: Path
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("gone", 1, b'{"salt":"a"}'), topic.event("stays", 1, b'{"salt":"b"}'))
    await publish(connection, files, SIGNER)
    before = files.checkpoint()
    await append(
        sequencer,
        topic.event("gone", 2, b'{"salt":"c"}'),
        topic.event("gone", 3, type=ERASED),
        topic.event("gone", 4, b'{"salt":"d"}'),
    )
    await append(sequencer, topic.event("gone", 5, b'{"salt":"e"}'))
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 1
    assert await connection.fetch("SELECT subject FROM log_subject WHERE key IS NULL") == [("gone",)]
    found = await entries(connection)
    names = [entry.get("subject") for entry in found]
    assert names[0] == names[2] == names[3] is not None
    assert names[4:] == [None, None]
    assert await publish(connection, files, SIGNER) == 6
    assert verify(tmp_path, SIGNER.verifier.vkey).ok
    old = open_checkpoint(before or b"", SIGNER.verifier)
    new = open_checkpoint(files.checkpoint() or b"", SIGNER.verifier)
    proof = Prover(6, lambda name: read_tile(Folder(tmp_path), name)).consistency(2)
    verify_consistency(2, 6, old.root, new.root, proof)


async def test_only_inquiry_can_erase(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic("publisher")
    await append(
        sequencer, topic.event("subject", 1, b'{"salt":"a"}'), topic.event("subject", 2, type=ERASED)
    )
    assert await connection.fetchval("SELECT count(*) FROM log_words") == 1
