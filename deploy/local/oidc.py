"""The local sign-in provider: oidc-provider-mock with one sample person per role.

It asks for no password, so it listens on the loopback address only; in a container (`python -m
deploy.local.oidc`) on the container's addresses. It runs as a separate process, because importing it emits
warnings. It takes its issuer from the Host header: the browser and the services must use the same host name
and port.
"""

import argparse
import json
import os
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import REPOSITORY

_SURNAMES = "李王赵钱何吕施张"


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """A person of the sample city. `unit` is the code of a department, for officers (承办单位经办人)."""

    subject: str
    name: str
    role: str
    unit: str | None = None

    def claims(self) -> dict[str, object]:
        """The claims about the person (OpenID Connect Core 5.1, and our own `roles` and `unit`)."""
        claims: dict[str, object] = {"sub": self.subject, "name": self.name, "roles": [self.role]}
        return claims | ({"unit": self.unit} if self.unit else {})


def sample_people(officer_units: Iterable[str]) -> tuple[SamplePerson, ...]:
    """One person per role, and an officer in each of these units. The names are invented."""
    return (
        SamplePerson("clerk", "周受理", "clerk"),
        SamplePerson("dispatcher", "吴派单", "dispatcher"),
        *(
            SamplePerson(f"officer-{unit}", f"{surname}经办", "officer", unit)
            for unit, surname in zip(officer_units, cycle(_SURNAMES), strict=False)
        ),
        SamplePerson("editor", "郑编辑", "editor"),
        SamplePerson("approver", "冯审核", "approver"),
        SamplePerson("oversight", "陈督办", "oversight"),
        SamplePerson("operator", "孙运维", "operator"),
    )


def officer_units(pack: Pack) -> tuple[str, ...]:
    """The units whose officers can sign in: those without Kafka, whose work only people do, and one with
    Kafka, whose work can be watched (two, if all have Kafka)."""
    without = [unit.code for unit in pack.departments if not unit.kafka]
    with_kafka = [unit.code for unit in pack.departments if unit.kafka and unit.kind != "centre"]
    return (*without, *with_kafka[: 1 if without else 2])


def client_environment(port: int) -> Mapping[str, str]:
    """The settings of the services for the provider on `port`. It accepts any secret, but needs one."""
    return {
        "OIDC_ISSUER": f"http://127.0.0.1:{port}",
        "OIDC_CLIENT_ID": "civicloom",
        "OIDC_CLIENT_SECRET": "local",
    }


def command(
    port: int, people: tuple[SamplePerson, ...], host: str = "127.0.0.1"
) -> tuple[list[str], Mapping[str, str]]:
    """The arguments and the additional environment to run the provider on `port` of `host`."""
    program = Path(sysconfig.get_path("scripts")) / "oidc-provider-mock"
    arguments = [str(program), "--host", host, "--port", str(port)]
    for person in people:
        arguments += ["--user-claims", json.dumps(person.claims(), ensure_ascii=False)]
    return arguments, {"NO_COLOR": "1", "PYTHONUTF8": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.oidc", description="Signs in without passwords."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pack", default="cn-city")
    arguments = parser.parse_args()
    pack = load_pack(REPOSITORY / "policies" / arguments.pack)
    program, environment = command(arguments.port, sample_people(officer_units(pack)), arguments.host)
    os.execvpe(program[0], program, {**os.environ, **environment})  # noqa: S606 - this process becomes the provider


if __name__ == "__main__":
    main()
