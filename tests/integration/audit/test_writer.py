"""The writer as processes: every record once, whatever is killed and whenever; one writer at a time."""

import asyncio
import secrets
from collections import Counter

import asyncpg
import httpx
import orjson
import pytest

from harness.installation import Installation
from services.audit.log.entry import commitment, parse_entry
from services.audit.log.files import LogFiles
from services.audit.log.verify import verify
from services.audit.writer import LOCK
from tests.integration.audit.sample import SampleService, until

pytestmark = pytest.mark.integration

OWNER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = 0"

COMMITTING = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT;' AND wait_event = 'PgSleep'"


async def size(tables: asyncpg.Connection) -> int:
    found: int = await tables.fetchval("SELECT size FROM log_head")
    return found


async def caught_up(tables: asyncpg.Connection, sample: SampleService) -> None:
    async def all_logged() -> bool:
        return await size(tables) >= sample.total

    await until(all_logged, f"{sample.total} entries", 60)


async def published(client: httpx.AsyncClient, entries: int) -> None:
    async def there() -> bool:
        answer = await client.get("/log/checkpoint")
        return answer.status_code == 200 and int(answer.text.split("\n")[1]) >= entries

    await until(there, f"a published checkpoint of {entries}")


async def writers(installation: Installation) -> list[int]:
    """The numbers of the copies whose metrics report that they write."""
    found = []
    async with httpx.AsyncClient(timeout=5) as client:
        for copy in installation.copies:
            if copy.running:
                try:
                    metrics = (await client.get(f"{copy.url}/metrics")).text
                except httpx.TransportError:  # it has just been started or killed
                    continue
                if "\ncivicloom_log_writer 1.0" in metrics:
                    found.append(copy.number)
    return found


async def the_writer(installation: Installation) -> int:
    async def one() -> bool:
        return len(await writers(installation)) == 1

    await until(one, "exactly one writer")
    return (await writers(installation))[0]


async def everything_once(
    installation: Installation, tables: asyncpg.Connection, sample: SampleService
) -> None:
    """Every event that was committed is one entry, in order per subject, and the published log verifies."""
    await caught_up(tables, sample)
    async with httpx.AsyncClient(base_url=installation.url("audit", 1), timeout=20) as client:
        await published(client, sample.total)
    rows = await tables.fetch("SELECT entry, value FROM log_entry ORDER BY index")
    entries = [parse_entry(row["entry"]) for row in rows]
    assert Counter(entry["kind"] for entry in entries) == {"event": sample.total}
    logged: dict[str, list[bytes]] = {}
    for row in rows:
        logged.setdefault(orjson.loads(row["value"])["subject"], []).append(row["value"])
    assert logged == {subject: [e.value for e in events] for subject, events in sample.written.items()}
    assert [entry["commitment"] for entry in entries] == [commitment(row["value"]) for row in rows]
    report = verify(installation.folder / "data" / "log", await key(installation))
    assert report.failure is None
    assert report.entries == sample.total


async def key(installation: Installation) -> str:
    async with httpx.AsyncClient(timeout=20) as client:
        return (await client.get(f"{installation.url('audit', 1)}/log/key")).text.strip()


async def test_what_a_service_commits_is_in_the_log_once_and_published_within_a_second_or_two(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection, client: httpx.AsyncClient
) -> None:
    await asyncio.gather(*(sample.write(count=20) for _ in range(15)))
    await caught_up(tables, sample)
    await published(client, sample.total)
    await everything_once(installation, tables, sample)


async def test_both_copies_answer_alike_and_one_writes(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection
) -> None:
    await the_writer(installation)
    async with httpx.AsyncClient(timeout=20) as client:
        answers = [await client.get(f"{copy.url}/log/key") for copy in installation.copies]
    assert answers[0].text == answers[1].text
    assert answers[0].status_code == 200


async def test_a_copy_that_waits_takes_over_within_seconds(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection
) -> None:
    first = await the_writer(installation)
    installation.kill("audit", first)
    await sample.write(count=50)

    async def other() -> bool:
        return await writers(installation) == [1 - first]

    await until(other, "the other copy writes", 15)
    await caught_up(tables, sample)
    await installation.restart("audit", first)
    assert await writers(installation) == [1 - first]


async def test_the_writer_killed_at_random_moments_loses_and_doubles_nothing(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection
) -> None:
    async with sample.load():
        for _ in range(4):
            await asyncio.sleep(0.2 + secrets.randbelow(1000) / 1000)
            writer = await the_writer(installation)
            installation.kill("audit", writer)
            installation.start("audit", writer)
    await installation.ready()
    await everything_once(installation, tables, sample)


async def test_a_commit_whose_outcome_nobody_heard_counts(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection
) -> None:
    # A deferred trigger runs within COMMIT: there is time to kill the writer in the middle of it.
    await tables.execute(
        """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
           CREATE CONSTRAINT TRIGGER slow AFTER UPDATE OF size ON log_head
           DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()"""
    )
    try:
        writer = await the_writer(installation)
        before = await size(tables)
        await sample.write(count=30)

        async def committing() -> bool:
            return bool(await tables.fetchval(COMMITTING))

        await until(committing, "a commit under way")
        assert await size(tables) == before
        installation.kill("audit", writer)
        await caught_up(tables, sample)
        await installation.restart("audit", writer)
    finally:
        await tables.execute("DROP TRIGGER slow ON log_head; DROP FUNCTION slow()")
    await everything_once(installation, tables, sample)


async def test_a_writer_whose_session_is_ended_begins_again(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection
) -> None:
    await the_writer(installation)
    async with sample.load():
        for _ in range(3):
            owner = await tables.fetchval(OWNER, LOCK)
            if owner is not None:
                await tables.execute("SELECT pg_terminate_backend($1)", owner)

            async def replaced(old: int | None = owner) -> bool:
                return await tables.fetchval(OWNER, LOCK) not in (None, old)

            await until(replaced, "somebody holds the lock again")
    await everything_once(installation, tables, sample)


async def test_a_writer_that_wakes_up_after_another_took_over_writes_nothing(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection
) -> None:
    writer = await the_writer(installation)
    owner = await tables.fetchval(OWNER, LOCK)
    async with sample.load():
        installation.pause("audit", writer)
        await tables.execute("SELECT pg_terminate_backend($1)", owner)

        async def grows() -> bool:
            return await tables.fetchval(OWNER, LOCK) not in (None, owner)

        await until(grows, "the other copy has the lock")
        await sample.write(count=10)
        installation.resume("audit", writer)

        async def gives_up() -> bool:
            return await writers(installation) == [1 - writer]

        await until(gives_up, "the copy that woke up is the writer no more")
    await everything_once(installation, tables, sample)


async def test_a_log_that_contradicts_what_the_world_has_seen_is_not_written_to_and_not_ready(
    installation: Installation, sample: SampleService, tables: asyncpg.Connection
) -> None:
    folder = installation.folder / "data" / "log"
    for copy in installation.copies:
        installation.kill(copy.service, copy.number)
    note = LogFiles(folder).checkpoint()
    assert note is not None
    before = await size(tables)
    origin, _, rest = note.split(b"\n", 2)
    (folder / "checkpoint").write_bytes(b"\n".join([origin, b"%d" % (before + 1), rest]))
    for copy in installation.copies:
        installation.start(copy.service, copy.number)
    await sample.write(count=10)
    async with httpx.AsyncClient(timeout=20) as client:

        async def says_so() -> bool:
            try:
                answers = [await client.get(f"{copy.url}/readyz") for copy in installation.copies]
            except httpx.TransportError:
                return False
            return any(a.status_code == 503 and "log" in a.json().get("not_ready", {}) for a in answers)

        await until(says_so, "a copy names the log as not ready")
        assert (await client.get(f"{installation.url('audit')}/log")).status_code == 503
        assert await size(tables) == before
        (folder / "checkpoint").write_bytes(note)
        await installation.ready()
    await everything_once(installation, tables, sample)
