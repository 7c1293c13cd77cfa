"""The pair keeps its data: apart from those of others, over restarts and kills."""

from pathlib import Path

import pytest

from deploy.local.errors import FolderInUseError
from deploy.local.pair import Pair
from tests.integration.pair.conftest import append, make_topic, store, stored, values_of

pytestmark = pytest.mark.integration


async def test_two_pairs_run_side_by_side_and_keep_their_data_apart_and_over_a_restart(
    open_tmp_path: Path,
) -> None:
    here, there = open_tmp_path / "这里", open_tmp_path / "there and, back"
    with Pair(here) as one, Pair(there) as other:
        assert one.database_url != other.database_url
        assert one.access.bootstrap != other.access.bootstrap
        for running, word in ((one, "one"), (other, "other")):
            await store(running.database_url, word)
            await make_topic(running.access.bootstrap, "words")
            await append(running.access.bootstrap, "words", word.encode())

    with Pair(here) as again:
        assert await stored(again.database_url) == ["one"]
        assert await values_of(again.access.bootstrap, "words") == [b"one"]


async def test_what_was_acknowledged_survives_a_kill_of_both_and_they_come_back_on_the_same_ports(
    open_tmp_path: Path,
) -> None:
    with Pair(open_tmp_path) as pair:
        assert pair.postgres is not None
        assert pair.kafka is not None
        before = pair.environment
        await store(pair.database_url, "kept")
        await make_topic(pair.access.bootstrap, "words")
        await append(pair.access.bootstrap, "words", b"kept")

        pair.kafka.kill()
        pair.postgres.kill()
        pair.start()  # at once: postgres' lock file and last children are still there

        assert pair.environment == before
        assert await stored(pair.database_url) == ["kept"]
        assert await values_of(pair.access.bootstrap, "words") == [b"kept"]


def test_a_folder_that_another_run_uses_is_refused(open_tmp_path: Path) -> None:
    with Pair(open_tmp_path, bootstrap="unused:1"), pytest.raises(FolderInUseError, match="another run"):
        Pair(open_tmp_path, bootstrap="unused:1").start()


def test_servers_named_by_the_environment_are_used_and_none_is_started(
    open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://db.example/civicloom")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "one.example:9092,two.example:9092")
    with Pair(open_tmp_path) as pair:
        assert pair.environment == {
            "DATABASE_URL": "postgres://db.example/civicloom",
            "KAFKA_BOOTSTRAP": "one.example:9092,two.example:9092",
        }
        assert (pair.postgres, pair.kafka) == (None, None)
    assert list(open_tmp_path.iterdir()) == []


async def test_each_module_gets_a_database_and_a_namespace_of_its_own(
    pair: Pair, database: str, namespace: str
) -> None:
    assert database != pair.database_url
    await store(database, namespace)
    assert await stored(database) == [namespace]
