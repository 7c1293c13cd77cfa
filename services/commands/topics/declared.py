"""`civicloom topics`: the topics of deploy/topics.yaml on the broker, and how many partitions they have."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.topics.options import POLICIES, Bootstrap, Namespace, Pack, Policies
from services.environment import AsJson, open_database, pack_folder, read_kafka_access
from shared.errors import DatabaseAway

if TYPE_CHECKING:
    from shared.kafka.topic_changes import Change, KeptWidth
    from shared.kafka.topics import TopicSpec
    from shared.kafka_access import KafkaAccess

topics = typer.Typer(name="topics", no_args_is_help=True, help="Create, compare and widen the Kafka topics.")


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


@topics.command()
def apply(
    *,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    pack: Pack = "cn-city",
    policies: Policies = POLICIES,
    replication: Replication = None,
    file: Declaration = None,
    as_json: AsJson = False,
) -> int:
    """Create missing topics and correct settings.

    With the environment of the services, partitions that a topic has lost are given back too. Exits 1 if a
    difference is left that it must not change, such as the declared number of partitions.
    """
    from shared.kafka.topic_changes import apply as make

    wanted = _specs(namespace, pack_folder(policies, pack), file, replication)
    access = read_kafka_access(bootstrap)

    async def work() -> "list[Change]":
        return await make(access, wanted, await _kept(spec.name for spec in wanted))

    changes = asyncio.run(work())
    _show(changes, as_json)
    return int(any(change.action == "refuse" for change in changes))


@topics.command()
def diff(
    *,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    pack: Pack = "cn-city",
    policies: Policies = POLICIES,
    replication: Replication = None,
    file: Declaration = None,
    as_json: AsJson = False,
) -> int:
    """Compare the broker with the declaration.

    With the environment of the services, also with the number of partitions that they use. Changes nothing.
    Exits 1 if they differ.
    """
    from shared.kafka.topic_changes import diff as compare

    wanted = _specs(namespace, pack_folder(policies, pack), file, replication)
    access = read_kafka_access(bootstrap)

    async def work() -> "list[Change]":
        return await compare(access, wanted, await _kept(spec.name for spec in wanted))

    changes = asyncio.run(work())
    _show(changes, as_json)
    return int(bool(changes))


@topics.command()
def grow(
    topic: Annotated[str, typer.Argument(help="The topic's full name.", show_default=False)],
    partitions: Annotated[
        int | None,
        typer.Argument(min=2, max=10_000, help="How many it is to have.", show_default=False),
    ] = None,
    *,
    abort: Annotated[
        bool, typer.Option("--abort", help="Release the topic that a growth left held, and change nothing.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that services, and then readers, may take.")
    ] = 300.0,
    unit_has_read: Annotated[
        bool,
        typer.Option(
            "--unit-has-read",
            help="Of a unit's topic: its system has read everything; do not look at its consumer group.",
        ),
    ] = False,
    bootstrap: Bootstrap,
    namespace: Namespace = "civic",
    as_json: AsJson = False,
) -> None:
    """Give a topic more partitions while the services run.

    Its events wait until every reader has read what is there; then the partitions are added and the services
    go on. A run that was killed is finished by running it again. On a timeout everything is as before.
    """
    if abort == (partitions is not None):
        raise typer.BadParameter("say how many, or --abort", param_hint="PARTITIONS")
    logical = _logical(namespace, topic)
    access = read_kafka_access(bootstrap)
    from services.growing import open_growth

    async def work() -> dict[str, object]:
        async with open_growth(
            topic, logical, access, timeout, unit_has_read=unit_has_read or abort
        ) as growth:
            if partitions is None:
                return {"topic": topic, "said": await growth.abort()}
            before = await growth.grow(partitions)
            done = f"{topic} has {partitions} partitions" + ("" if before < partitions else " already")
            return {"topic": topic, "before": before, "partitions": partitions, "said": done}

    done = asyncio.run(_in_sentences(work, access))
    typer.echo(json.dumps(done) if as_json else done["said"])


def _logical(namespace: str, topic: str) -> str:
    """The logical name of a topic that our services write. Raises typer.BadParameter for any other."""
    from shared.contracts.addresses import ADDRESSES, TEMPLATES, code_of, topic_name

    fixed = {topic_name(namespace, logical): logical for logical in ADDRESSES.keys() - TEMPLATES}
    if topic in fixed:
        return fixed[topic]
    if code := code_of(topic):
        if topic == topic_name(namespace, "department", code):
            return "department"
        if topic == topic_name(namespace, "actions", code):
            raise typer.BadParameter(
                "the unit's own system writes this topic, so it alone can add partitions without harm to "
                "the order of its actions",
                param_hint="TOPIC",
            )
    raise typer.BadParameter(
        f"{topic} is none of {', '.join(sorted(fixed))} and no unit's topic", param_hint="TOPIC"
    )


async def _in_sentences(
    work: Callable[[], Awaitable[dict[str, object]]], access: "KafkaAccess"
) -> dict[str, object]:
    """Faults of database and broker as our own errors."""
    from shared.infrastructure import is_infrastructure
    from shared.kafka.admin import BrokerRefused
    from shared.kafka.client import KafkaError
    from shared.kafka.refusal import explain
    from shared.outbox.growth import NothingToGrow

    try:
        return await work()
    except NothingToGrow as error:
        raise typer.BadParameter(str(error), param_hint="PARTITIONS") from error
    except KafkaError as error:
        raise BrokerRefused(await explain(error, access)) from error
    except Exception as error:
        if not is_infrastructure(error):
            raise
        raise DatabaseAway(f"a database does not answer: {error!r}") from error


async def _kept(names: Iterable[str]) -> "dict[str, KeptWidth]":
    """The widths that the services keep, by topic; says on stderr of which service they are unknown."""
    import asyncpg

    from shared.outbox.widths import read_widths
    from shared.settings import SERVICES

    wanted = list(names)
    kept: dict[str, KeptWidth] = {}
    for service in SERVICES:
        if "SECRET_KEY" not in os.environ or not os.environ.keys() & {
            "DATABASE_URL",
            f"{service}_DATABASE_URL".upper(),
        }:
            continue
        try:
            async with open_database(service) as database:
                found = await read_widths(database, wanted)
        except (DatabaseAway, asyncpg.UndefinedTableError) as error:
            typer.echo(f"how many partitions {service} uses is unknown: {error}", err=True)
        else:
            for topic, width in found.items():
                kept[topic] = max(kept.get(topic, width), width, key=_weight)
    return kept


def _weight(width: "KeptWidth") -> tuple[bool, int]:
    return width.grows_to is not None, width.partitions


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
