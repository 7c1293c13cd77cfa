"""The local sign-in provider: oidc-provider-mock with one sample person per role.

It believes everybody and asks for no password, so it listens on the loopback address alone; in a container,
`python -m deploy.local.oidc`, on what the container shows of itself. It runs as a
process of its own, because importing it warns. It takes its issuer from the Host header: the browser and
the services must use the same host name and port.
"""

import argparse
import json
import os
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import REPOSITORY


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """A person of the sample city. `unit` is the code of a department, for officers (承办单位经办人)."""

    subject: str
    name: str
    role: str
    unit: str | None = None

    def claims(self) -> dict[str, object]:
        """The claims that the provider tells about the person (OpenID Connect Core 5.1, and our `roles`,
        `unit`).
        """
        claims: dict[str, object] = {"sub": self.subject, "name": self.name, "roles": [self.role]}
        return claims | ({"unit": self.unit} if self.unit else {})


def sample_people(officer_units: tuple[str, str]) -> tuple[SamplePerson, ...]:
    """One person per role and an officer in each of two departments of the pack. The names are invented."""
    first, second = officer_units
    return (
        SamplePerson("clerk", "周受理", "clerk"),
        SamplePerson("dispatcher", "吴派单", "dispatcher"),
        SamplePerson(f"officer-{first}", "李经办", "officer", first),
        SamplePerson(f"officer-{second}", "王经办", "officer", second),
        SamplePerson("editor", "郑编辑", "editor"),
        SamplePerson("approver", "冯审核", "approver"),
        SamplePerson("oversight", "陈督办", "oversight"),
        SamplePerson("operator", "孙运维", "operator"),
    )


def officer_units(pack: Pack) -> tuple[str, str]:
    """Whose officers can sign in. The first is a unit without Kafka, if there is one: in a sample city that
    desk's work is done by nobody else."""
    units = sorted(pack.departments, key=lambda unit: (unit.kafka, unit.kind == "centre"))
    return units[0].code, next(unit.code for unit in units[1:] if unit.kafka)


def client_environment(port: int) -> Mapping[str, str]:
    """What the services need for the provider on `port`. It takes any secret, but wants one."""
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
    parser = argparse.ArgumentParser(prog="python -m deploy.local.oidc", description="Believes everybody.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pack", default="cn-city")
    arguments = parser.parse_args()
    pack = load_pack(REPOSITORY / "policies" / arguments.pack)
    program, environment = command(arguments.port, sample_people(officer_units(pack)), arguments.host)
    os.execvpe(program[0], program, {**os.environ, **environment})  # noqa: S606 - it becomes the provider


if __name__ == "__main__":
    main()
