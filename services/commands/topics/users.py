"""`civicloom topics user`: the brokers' users of units and services, and how a unit's client is set up."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.topics.options import POLICIES, Bootstrap, Namespace, Pack, Policies, addresses
from services.environment import AsJson, pack_folder, read_kafka_access, service_named

if TYPE_CHECKING:
    from shared.kafka.authority import Authority
    from shared.kafka_access import KafkaAccess

users = typer.Typer(
    name="user", no_args_is_help=True, help="Add, rotate and remove the brokers' users of units."
)
Who = Annotated[str, typer.Argument(metavar="UNIT", help="The unit's code.", show_default=False)]
IsService = Annotated[bool, typer.Option("--service", help="UNIT is the name of a service instead.")]
Address = Annotated[
    str | None,
    typer.Option(
        help="The brokers as the unit reaches them, if that is another address than ours.",
        callback=lambda value: value and addresses(value),
    ),
]


@users.command()
def add(
    unit: Who,
    *,
    service: IsService = False,
    address: Address = None,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    pack: Pack = "cn-city",
    policies: Policies = POLICIES,
    as_json: AsJson = False,
) -> None:
    """Make a user with its rights, and print its password.

    The password is shown this once, with ready configurations for the usual clients.
    """
    user = _user(unit, namespace, service=service)
    if not service:
        _must_be_in(pack_folder(policies, pack), unit)
    access = read_kafka_access(bootstrap)
    from shared.kafka.rights import wanted_rights

    async def work(authority: "Authority") -> str:
        if user in await authority.users():
            raise typer.BadParameter(f"{user} exists: use `rotate`", param_hint="UNIT")
        rights = wanted_rights(namespace, () if service else [unit])
        await authority.grant(right for right in rights if right.user == user)
        return await authority.set_password(user)

    _show(user, _run(access, work), access, address, as_json=as_json)


@users.command()
def rotate(
    unit: Who,
    *,
    service: IsService = False,
    address: Address = None,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    as_json: AsJson = False,
) -> None:
    """Give a user a new password and print it. Connections that stand go on; new ones need the new one."""
    user = _user(unit, namespace, service=service)
    access = read_kafka_access(bootstrap)

    async def work(authority: "Authority") -> str:
        await _must_exist(authority, user)
        return await authority.set_password(user)

    _show(user, _run(access, work), access, address, as_json=as_json)


@users.command()
def remove(
    unit: Who,
    *,
    service: IsService = False,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    as_json: AsJson = False,
) -> None:
    """Take a user's rights, and then its password.

    Connections that stand may then do nothing more.
    """
    user = _user(unit, namespace, service=service)
    access = read_kafka_access(bootstrap)

    async def work(authority: "Authority") -> str:
        await _must_exist(authority, user)
        await authority.remove_user(user)
        return f"{user} is removed"

    said = _run(access, work)
    typer.echo(json.dumps({"user": user, "removed": True}) if as_json else said)


async def _must_exist(authority: "Authority", user: str) -> None:
    """A user that has rights and no password counts: a removal was cut off between the two."""
    known = await authority.users() | {right.user for right in await authority.rights()}
    if user not in known:
        ours = ", ".join(sorted(known)) or "none"
        raise typer.BadParameter(f"the brokers have no user {user}; they have {ours}", param_hint="UNIT")


def _run(access: "KafkaAccess", work: "Callable[[Authority], Awaitable[str]]") -> str:
    from shared.kafka.authority import Authority

    async def run() -> str:
        return await work(Authority(access))

    return asyncio.run(run())


def _user(unit: str, namespace: str, *, service: bool) -> str:
    from shared.kafka.rights import service_user, unit_user

    try:
        return service_user(namespace, service_named(unit, "UNIT")) if service else unit_user(namespace, unit)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="UNIT") from error


def _must_be_in(pack: Path, unit: str) -> None:
    from shared.policy.loader import load_pack

    codes = sorted(one.code for one in load_pack(pack).departments if one.kafka)
    if unit not in codes:
        known = ", ".join(codes) or "another pack"
        raise typer.BadParameter(
            f"{unit} is no unit of {pack.name} that uses Kafka: choose {known}", param_hint="UNIT"
        )


def _show(user: str, password: str, access: "KafkaAccess", address: str | None, *, as_json: bool) -> None:
    from services.client_configuration import configurations

    found = configurations(access, address or access.bootstrap, user, password)
    if as_json:
        typer.echo(json.dumps({"user": user, "password": password, "configurations": found}))
        return
    typer.echo(f"user      {user}\npassword  {password}\n")
    for client, text in found.items():
        typer.echo(f"# {client}\n{text}\n")
    typer.echo("The password is shown this once and kept nowhere.", err=True)
