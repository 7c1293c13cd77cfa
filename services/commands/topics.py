"""`civicloom topics`: the topics of deploy/topics.yaml on the broker."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.environment import pack_folder

if TYPE_CHECKING:
    from shared.kafka.topic_changes import Change
    from shared.kafka.topics import TopicSpec

topics = typer.Typer(name="topics", no_args_is_help=True, help="Make and compare the Kafka topics.")


def _addresses(told: str) -> str:
    for address in told.split(","):
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit()):
            raise typer.BadParameter(f"{address!r} is not host:port")
    return told


Bootstrap = Annotated[
    str,
    typer.Option(envvar="KAFKA_BOOTSTRAP", help="host:port, several with commas.", callback=_addresses),
]
Namespace = Annotated[str, typer.Option(envvar="TOPIC_NAMESPACE", help="First part of every topic's name.")]
Pack = Annotated[str, typer.Option(envvar="PACK", help="Policy pack whose units get topics.")]
Policies = Annotated[Path, typer.Option(envvar="POLICIES_DIR", help="Folder of the packs.")]
Replication = Annotated[
    int | None, typer.Option(envvar="TOPIC_REPLICATION", min=1, help="Overrides the declared replication.")
]
Declaration = Annotated[Path | None, typer.Option("--file", help="Instead of deploy/topics.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

_POLICIES = Path(__file__).resolve().parents[2] / "policies"


def register(cli: typer.Typer) -> None:
    cli.add_typer(topics)


@topics.command()
def apply(
    *,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    pack: Pack = "cn-city",
    policies: Policies = _POLICIES,
    replication: Replication = None,
    file: Declaration = None,
    as_json: AsJson = False,
) -> int:
    """Make what is missing and correct settings. Exits 1 if something is left that it must not change."""
    from shared.kafka.topic_changes import apply as make

    changes = asyncio.run(make(bootstrap, _specs(namespace, pack_folder(policies, pack), file, replication)))
    _show(changes, as_json)
    return int(any(change.action == "refuse" for change in changes))


@topics.command()
def diff(
    *,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    pack: Pack = "cn-city",
    policies: Policies = _POLICIES,
    replication: Replication = None,
    file: Declaration = None,
    as_json: AsJson = False,
) -> int:
    """Show how the broker differs from the declaration. Exits 1 if it does; changes nothing."""
    from shared.kafka.topic_changes import diff as compare

    changes = asyncio.run(
        compare(bootstrap, _specs(namespace, pack_folder(policies, pack), file, replication))
    )
    _show(changes, as_json)
    return int(bool(changes))


def _specs(namespace: str, pack: Path, file: Path | None, replication: int | None) -> "list[TopicSpec]":
    from shared.kafka.topics import DECLARATION, load_topics
    from shared.policy.loader import load_pack

    declaration = load_topics(file or DECLARATION)
    codes = [unit.code for unit in load_pack(pack).departments if unit.kafka]
    try:
        return declaration.specs(namespace, codes, replication=replication)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _show(changes: "list[Change]", as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(change) for change in changes]))
        return
    for change in changes:
        typer.echo(f"{change.action:9} {change.topic}  {'; '.join(change.details)}")
    if not changes:
        typer.echo("topics are as declared")
