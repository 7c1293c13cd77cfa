"""`civicloom topics acl`: who may do what on the brokers, by the contract and the pack."""

import asyncio
import json
from typing import TYPE_CHECKING

import typer

from services.commands.topics.options import POLICIES, Bootstrap, Namespace, Pack, Policies
from services.environment import AsJson, pack_folder, read_kafka_access

if TYPE_CHECKING:
    from shared.kafka.authority import Authority
    from shared.kafka.rights import RightChange

acl = typer.Typer(
    name="acl", no_args_is_help=True, help="Compare and correct who may read and write the topics."
)


@acl.command()
def apply(
    *,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    pack: Pack = "cn-city",
    policies: Policies = POLICIES,
    as_json: AsJson = False,
) -> int:
    """Give services and units their rights, and take all others.

    Needs the user of an operator in KAFKA_USERNAME. Exits 1 if users who are not ours have rights on our
    topics or groups: those are shown and left.
    """
    units = _units(policies, pack)
    access = read_kafka_access(bootstrap)
    from shared.kafka.authority import Authority

    async def work() -> "list[RightChange]":
        authority = Authority(access)
        changes = await _changes(authority, namespace, units)
        # First what is missing: who exchanges one right for another is never without.
        await authority.grant(change.right for change in changes if change.action == "grant")
        await authority.revoke(change.right for change in changes if change.action == "revoke")
        return changes

    changes = asyncio.run(work())
    _show(changes, as_json=as_json)
    return int(any(change.action == "refuse" for change in changes))


@acl.command()
def diff(
    *,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    pack: Pack = "cn-city",
    policies: Policies = POLICIES,
    as_json: AsJson = False,
) -> int:
    """Show what `apply` would change, and what others may.

    Exits 1 if there is anything: what `apply` changes, or rights of others on our topics.
    """
    units = _units(policies, pack)
    access = read_kafka_access(bootstrap)
    from shared.kafka.authority import Authority

    changes = asyncio.run(_changes(Authority(access), namespace, units))
    _show(changes, as_json=as_json)
    return int(bool(changes))


async def _changes(authority: "Authority", namespace: str, units: list[str]) -> "list[RightChange]":
    from shared.kafka.rights import plan_rights, wanted_rights

    try:
        wanted = wanted_rights(namespace, units)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--namespace") from error
    return plan_rights(wanted, await authority.rights(), namespace)


def _units(policies: Policies, pack: Pack) -> list[str]:
    from shared.policy.loader import load_pack

    return [unit.code for unit in load_pack(pack_folder(policies, pack)).departments if unit.kafka]


def _show(changes: "list[RightChange]", *, as_json: bool) -> None:
    if as_json:
        found = [{"action": change.action, **change.right._asdict()} for change in changes]
        typer.echo(json.dumps(found))
        return
    for change in changes:
        typer.echo(f"{change.action:7} {change.right}")
    if not changes:
        typer.echo("rights are as derived")
