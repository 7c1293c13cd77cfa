"""One writer at a time, on tables that refuse to forget; what it cannot vouch for it does not sign."""

import asyncpg
import pytest

from services.audit.log import queries
from services.audit.log.continuity import Refusal
from services.audit.log.errors import LogBroken
from services.audit.log.note import Signer
from services.audit.log.sequencer import Sequencer
from shared.clock import machine_now
from shared.errors import Stale
from tests.integration.log.conftest import KEYS, MIGRATIONS, SIGNER, Topic, append, connect, open_log

pytestmark = pytest.mark.integration


async def test_the_tables_can_be_taken_back_and_made_again(connection: asyncpg.Connection) -> None:
    for _, _, down in reversed(MIGRATIONS):
        await connection.execute(down)
    for up, _, _ in MIGRATIONS:
        await connection.execute(up)
    assert (await append(await open_log(connection), Topic().event("subject", 1))).size == 1


async def test_a_sequencer_that_failed_is_not_used_again(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await connection.execute("ALTER TABLE log_entry ADD CONSTRAINT none CHECK (kind <> 'event')")
    with pytest.raises(asyncpg.CheckViolationError):
        await append(sequencer, topic.event("subject", 1))
    with pytest.raises(Stale, match="open the log again"):
        await append(sequencer, topic.event("subject", 1))


async def test_a_second_writer_takes_over_and_the_first_stops(database: str, schema: str) -> None:
    one, two = await connect(database, schema), await connect(database, schema)
    first, topic = await open_log(one), Topic()
    record = topic.event("subject", 1)
    second = await open_log(two)
    with pytest.raises(Stale):
        await append(first, record)
    assert (await append(second, record)).size == 1
    with pytest.raises(Stale):
        await append(first, record)
    await one.close()
    await two.close()


async def test_a_commit_whose_answer_is_lost_is_neither_repeated_nor_forgotten(
    connection: asyncpg.Connection, database: str, schema: str
) -> None:
    sequencer, topic = await open_log(connection), Topic()
    records = [topic.event("subject", n) for n in (1, 2)]
    await append(sequencer, records[0])
    connection.terminate()
    again = await connect(database, schema)
    reopened = await open_log(again)
    assert (await append(reopened, *records)).first == 1
    assert await again.fetchval("SELECT count(*) FROM log_entry") == 2
    await again.close()


async def test_what_postgresql_stored_otherwise_is_not_signed(connection: asyncpg.Connection) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1))
    await connection.execute(
        """CREATE FUNCTION flip() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.entry := set_bit(NEW.entry, 77, 1 - get_bit(NEW.entry, 77)); RETURN NEW; END $$;
        CREATE TRIGGER flip BEFORE INSERT ON log_entry FOR EACH ROW EXECUTE FUNCTION flip()"""
    )
    with pytest.raises(LogBroken, match="two ways"):
        await append(sequencer, topic.event("subject", 2))
    assert await connection.fetchval("SELECT size FROM log_head") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entry SET entry = 'x'",
        "DELETE FROM log_entry",
        "TRUNCATE log_entry",
        "UPDATE log_checkpoint SET note = 'x'",
        "DELETE FROM log_checkpoint",
        "TRUNCATE log_checkpoint",
        "DELETE FROM log_refusal",
        "UPDATE log_refusal SET finding = 'none', entry_index = 0",
        "UPDATE log_refusal SET refused_at = now()",
        "DELETE FROM log_tile",
        "DELETE FROM log_words",
        "UPDATE log_words SET sealed = 'x'",
        "DELETE FROM log_subject",
        "UPDATE log_subject SET key = 'x'",
        "UPDATE log_subject SET key = NULL, subject = 'x'",
        "UPDATE log_cursor SET next_offset = 0",
        "UPDATE log_cursor SET next_offset = 0, reset_index = 0",
        "UPDATE log_head SET size = 0",
        "DELETE FROM log_head",
    ],
)
async def test_the_tables_refuse_to_forget(connection: asyncpg.Connection, statement: str) -> None:
    sequencer, topic = await open_log(connection), Topic()
    await append(sequencer, topic.event("subject", 1, b'{"salt":"a"}'))
    await queries.insert_checkpoint(connection, 1, "a signed note")
    await queries.keep_refusals(connection, [Refusal(topic.name, 0, 1, 0, "is another log")], machine_now())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)


async def test_another_signing_key_cannot_go_on_with_a_log(connection: asyncpg.Connection) -> None:
    await open_log(connection)
    with pytest.raises(LogBroken, match="is signed by"):
        await Sequencer.open(connection, Signer(SIGNER.name, bytes(32)).verifier, KEYS, None)
