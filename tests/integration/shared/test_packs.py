"""Pack versions in a real database: what is known to a service is committed, whatever its callers do."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from harness.schema import open_service_database
from shared.packs import PackNotHere, Packs
from shared.policy.loader import load_pack
from shared.unit_of_work.database import Database
from tests.paths import REPO

COUNT = "SELECT count(*) FROM policy_version WHERE version = $1"


@pytest.fixture
async def routing(database: str, folder: Path) -> AsyncIterator[Database]:
    settings = {"policies_dir": folder.parent, "pack": folder.name, "pool_size": 2}
    opened = await open_service_database(database, "routing", **settings)
    yield opened
    await opened.pool.execute("TRUNCATE policy_version")
    await opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPO / "policies" / "cn-city", tmp_path / "cn-city"))


def renew(folder: Path) -> str:
    """Changes a cell of the folder, as another release of it would; the new version."""
    areas = folder / "areas.csv"
    areas.write_text(areas.read_text().replace("云溪区", "新云溪区", 1))
    return load_pack(folder).version


async def test_a_version_stays_stored_when_the_transaction_that_asked_for_it_is_rolled_back(
    routing: Database, folder: Path
) -> None:
    packs = await Packs.open(routing, routing.settings)
    new = renew(folder)
    with pytest.raises(ZeroDivisionError):
        async with routing.transaction(["x"]) as tx:
            await packs.load(tx.connection, [new])
            raise ZeroDivisionError
    async with routing.transaction(["x"]) as tx:
        await packs.load(tx.connection, [new])
        assert packs.of(new).version == new
    assert await routing.pool.fetchval(COUNT, new) == 1
    # The next start, on another folder, finds it in the table.
    shutil.rmtree(folder)
    shutil.copytree(REPO / "policies" / "cn-city", folder)
    again = await Packs.open(routing, routing.settings)
    assert (await again.find(routing.pool, new)).version == new


async def test_a_version_rolled_back_to_a_savepoint_stays_stored(routing: Database, folder: Path) -> None:
    packs = await Packs.open(routing, routing.settings)
    new = renew(folder)
    async with routing.transaction(["x"]) as tx:
        with pytest.raises(ZeroDivisionError):
            async with tx.connection.transaction():
                await packs.load(tx.connection, [new])
                raise ZeroDivisionError
    assert packs.of(new).version == new
    assert await routing.pool.fetchval(COUNT, new) == 1


async def test_callers_that_hold_every_connection_of_the_pool_do_not_wait_for_each_other(
    routing: Database, folder: Path
) -> None:
    packs = await Packs.open(routing, routing.settings)
    new, both_hold = renew(folder), asyncio.Barrier(routing.settings.pool_size)

    async def ask(aggregate: str) -> str:
        async with routing.transaction([aggregate]) as tx:
            await both_hold.wait()
            return (await packs.find(tx.connection, new)).version

    async with asyncio.timeout(10):
        assert await asyncio.gather(ask("x"), ask("y")) == [new, new]


async def test_a_version_that_another_service_copy_stores_is_found_at_once(
    routing: Database, folder: Path
) -> None:
    packs = await Packs.open(routing, routing.settings)
    later = load_pack(REPO / "policies" / "us-city")
    with pytest.raises(PackNotHere):
        await packs.find(routing.pool, later.version)
    await routing.pool.execute(
        "INSERT INTO policy_version (version, content) VALUES ($1, $2)",
        later.version,
        later.to_json().decode(),
    )
    assert await packs.find(routing.pool, later.version) == later
