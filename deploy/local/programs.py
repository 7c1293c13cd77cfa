"""The programs of `make run`: which, with what settings, on which ports."""

import os
import secrets
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from deploy.local import caddy, oidc
from deploy.local.ports import free_port
from deploy.local.supervised import Program
from shared.policy.model import Pack
from shared.settings import REPOSITORY, SERVICES


@dataclass(frozen=True, slots=True)
class Plan:
    """The programs of a sample city and their settings. Its other ports are free ones, new at each start.

    `pair` are the settings of PostgreSQL and Kafka. Without `smtp_url` mail is written to `data_dir/mail`.
    """

    port: int
    data_dir: Path
    pack: Pack
    pair: Mapping[str, str]
    namespace: str = "civic"
    smtp_url: str | None = None
    ports: Mapping[str, int] = field(
        default_factory=lambda: {name: free_port() for name in (*SERVICES, "sign-in", "mail")}
    )

    @property
    def address(self) -> str:
        """The one address of the city. Sign-in needs exactly this one: `localhost` would be another host."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def people(self) -> tuple[oidc.SamplePerson, ...]:
        """The people who can sign in."""
        return oidc.sample_people(oidc.officer_units(self.pack))

    def city(self) -> list[Program]:
        """The programs of the city, in the order in which they start."""
        return [self._sign_in(), *self._mail(), *map(self._service, SERVICES), self._proxy()]

    def sample(self) -> list[Program]:
        """The programs that play departments, citizens and editors, by public interfaces alone."""
        codes = [unit.code for unit in self.pack.departments if unit.kafka]
        script = REPOSITORY / "examples" / "department.py"
        how = ("--namespace", self.namespace, "--seconds", "4")
        department: list[str | Path] = [sys.executable, script, self.pair["KAFKA_BOOTSTRAP"], *codes, *how]
        citizens: list[str | Path] = [sys.executable, "-m", "deploy.local.sample"]
        citizens += [self.address, self.sample_folder]
        return [self._program("departments", department), self._program("citizens", citizens)]

    @property
    def sample_folder(self) -> Path:
        """Where the players keep their state."""
        return self.data_dir / "sample"

    @property
    def settings(self) -> dict[str, str]:
        """The environment of the services."""
        own = {
            f"{name}_{what}".upper(): value
            for name in SERVICES
            for what, value in (("host", "127.0.0.1"), ("port", str(self.ports[name])))
        }
        return {
            **self.pair,
            **oidc.client_environment(self.ports["sign-in"]),
            **own,
            "SECRET_KEY": kept_secret(self.data_dir / "keys" / "secret.key"),
            "TOPIC_NAMESPACE": self.namespace,
            "PACK": self.pack.name,
            "DATA_DIR": str(self.data_dir),
            "PUBLIC_URL": self.address,
            "SMTP_URL": self.smtp_url or f"smtp://127.0.0.1:{self.ports['mail']}",
            "ALLOW_PRIVATE_WEBHOOKS": "true",  # a trial has the receiver on the same machine
        }

    def write_settings(self) -> Path:
        """Writes the settings to a file that a shell can source for an operator's commands; the file."""
        file = self.data_dir / "environment"
        with _for_the_owner(file) as opened:
            opened.writelines(
                f"export {name}={shlex.quote(value)}\n" for name, value in self.settings.items()
            )
        return file

    def _service(self, name: str) -> Program:
        return self._program(name, [sys.executable, "-m", f"services.{name}"], self.settings)

    def _sign_in(self) -> Program:
        return self._program("sign-in", *oidc.command(self.ports["sign-in"], self.people))

    def _mail(self) -> list[Program]:
        if self.smtp_url:
            return []
        port, folder = str(self.ports["mail"]), self.data_dir / "mail"
        return [self._program("mail", [sys.executable, "-m", "deploy.local.mail", port, folder])]

    def _proxy(self) -> Program:
        behind = caddy.Services(**{name: self.ports[name] for name in SERVICES})
        return self._program("proxy", *caddy.command(self.port, behind, self.data_dir / "caddy"))

    def _program(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> Program:
        return Program(name, command, environment or {}, self.data_dir / "logs" / f"{name}.log")


def kept_secret(file: Path) -> str:
    """The secret of 32 bytes in hex in the file, made on the first call; only its owner can read it."""
    if not file.exists():
        with _for_the_owner(file) as opened:
            opened.write(secrets.token_hex(32) + "\n")
    return file.read_text().strip()


@contextmanager
def _for_the_owner(file: Path) -> Iterator[TextIO]:
    """Writes a file that only its owner can read, atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    staging = file.with_suffix(".new")
    staging.unlink(missing_ok=True)
    with os.fdopen(os.open(staging, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as opened:
        yield opened
    staging.rename(file)
