"""The Docker engine, and servers in it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy, LogMessageWaitStrategy

from deploy.local.ports import free_port

# Ryuk removes containers of killed runs, but is one more image to fetch.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")


def answers() -> bool:
    """Whether an engine can be reached."""
    try:
        docker.from_env().ping()
    except DockerException:
        return False
    return True


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL 18; its superuser's URL."""
    port = free_port()
    container = (
        DockerContainer("postgres:18")
        .with_env("POSTGRES_PASSWORD", "test")
        .with_env("POSTGRES_DB", "civicloom")
        .with_bind_ports(5432, port)
        .with_command("postgres -c max_connections=200")
        # By TCP: during its setup the image listens on its Unix socket only.
        .waiting_for(LogMessageWaitStrategy(re.compile(r"listening on IPv4 address")))
    )
    with container:
        yield f"postgres://postgres:test@127.0.0.1:{port}/civicloom"


@contextmanager
def kafka() -> Iterator[str]:
    """An Apache Kafka 4.3 of one node, with the settings of deploy/docker-compose.yml; its address."""
    port = free_port()  # chosen here, since the broker has to advertise it
    settings = {
        "NODE_ID": "1",
        "PROCESS_ROLES": "broker,controller",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        # The address of the clients leads nowhere inside the container, and a transaction is committed by the
        # broker as a client of itself.
        "INTER_BROKER_LISTENER_NAME": "BROKER",
        "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093,BROKER://:9094",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port},BROKER://localhost:9094",
        "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT",
        "AUTO_CREATE_TOPICS_ENABLE": "false",
        "LOG_MESSAGE_TIMESTAMP_TYPE": "LogAppendTime",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "HEAP_OPTS": "-Xms256m -Xmx512m",
    }
    container = DockerContainer("apache/kafka:4.3.1").with_bind_ports(9092, port)
    for name, value in settings.items():
        container.with_env(f"KAFKA_{name}", value)
    # As the health check of Compose; what it logs when it is ready depends on its log level.
    container.waiting_for(ExecWaitStrategy(["bash", "-c", "</dev/tcp/127.0.0.1/9092"]))
    with container:
        yield f"127.0.0.1:{port}"
