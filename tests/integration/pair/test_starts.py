"""Starts of a server: its port, a previous server on its folder, its settings, and its errors."""

import shutil
import signal
import socket
import threading
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.local import kafka as kafka_module
from deploy.local import server as server_module
from deploy.local.errors import StartFailedError
from deploy.local.jars import kafka_libs
from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from deploy.local.postgres import _SETTINGS, Postgres
from deploy.local.template import Template, template
from tests.integration.pair.conftest import make_topic, processes_under

pytestmark = pytest.mark.integration


def test_a_start_that_fails_says_why_with_the_end_of_the_log(
    open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_SETTINGS, "no_such_setting", "1")
    with pytest.raises(StartFailedError, match="no_such_setting") as caught:
        Postgres(open_tmp_path).start()
    assert caught.value.name == "PostgreSQL"
    assert processes_under(open_tmp_path) == {}


@pytest.mark.parametrize("server", [Postgres, Kafka])
def test_a_port_that_was_taken_meanwhile_is_replaced(
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
        await make_topic(kafka.bootstrap, "declared")
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, request_timeout_ms=1_000)
        async with producer:
            stamped = await producer.send_and_wait("declared", b"x", timestamp_ms=1)
            assert stamped.timestamp_type == 1  # LogAppendTime
            with pytest.raises(UnknownTopicOrPartitionError):
                await producer.send_and_wait("mistyped", b"x")


def test_the_broker_starts_without_an_aot_cache_that_java_can_use(
    open_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = open_tmp_path / "template"
    shutil.copytree(template(kafka_libs()).folder / "log", damaged / "log")
    (damaged / "classes.aot").write_bytes(b"damaged")
    monkeypatch.setattr(kafka_module, "template", lambda _: Template(damaged))
    with Kafka(open_tmp_path / "kafka") as kafka:
        assert kafka.child is not None
        assert f"{damaged / 'classes.aot'}" in Path(f"/proc/{kafka.child.pid}/cmdline").read_text()
