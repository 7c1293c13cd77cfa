"""`civicloom topics`: the topics of deploy/topics.yaml on the broker."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.environment import REPOSITORY, AsJson, pack_folder

if TYPE_CHECKING:
    from shared.kafka.topic_changes import Change
    from shared.kafka.topics import TopicSpec

topics = typer.Typer(name="topics", no_args_is_help=True, help="Create and compare the Kafka topics.")


def _addresses(value: str) -> str:
    for address in value.split(","):
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit()):
            raise typer.BadParameter(f"{address!r} is not host:port")
    return value


Bootstrap = Annotated[
    str,
    typer.Option(
        envvar="KAFKA_BOOTSTRAP", help="The brokers as host:port, separated by commas.", callback=_addresses
    ),
]
Namespace = Annotated[
    str, typer.Option(envvar="TOPIC_NAMESPACE", help="The first part of every topic's name.")
]
Pack = Annotated[str, typer.Option(envvar="PACK", help="The policy pack whose units get topics.")]
Policies = Annotated[Path, typer.Option(envvar="POLICIES_DIR", help="The folder of the packs.")]
Replication = Annotated[
    int | None,
    typer.Option(
        envvar="TOPIC_REPLICATION", min=1, help="The replication factor instead of the declared one."
    ),
]
Declaration = Annotated[
    Path | None,
    typer.Option(
        "--file", exists=True, dir_okay=False, help="The declaration instead of deploy/topics.yaml."
    ),
]

_POLICIES = REPOSITORY / "policies"


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
    """Create missing topics and correct settings.

    Exits 1 if a difference is left that it must not change, such as the number of partitions.
    """
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
    """Compare the broker with the declaration.

    Changes nothing. Exits 1 if they differ.
    """
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
