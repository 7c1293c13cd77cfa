"""What the commands share: the option `--json`, a service by its name, its settings and its database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.errors import DatabaseAway

if TYPE_CHECKING:
    from shared.kafka_access import KafkaAccess
    from shared.settings import CoreSettings, ServiceName
    from shared.unit_of_work.database import Database

REPOSITORY = Path(__file__).resolve().parents[1]
"""As in `shared.settings`, which `--help` does not load."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@asynccontextmanager
async def open_database(service: "ServiceName") -> "AsyncIterator[Database]":
    """The service's database, closed at the end.

    Raises typer.BadParameter for bad settings, and DatabaseAway if the database does not answer.
    """
    import asyncpg

    from shared.infrastructure import is_infrastructure
    from shared.unit_of_work.database import Database

    try:
        database = await Database.open(read_settings(service))
    except Exception as error:
        if not (is_infrastructure(error) or isinstance(error, asyncpg.PostgresError | ValueError)):
            raise
        raise DatabaseAway(f"the database of {service} does not answer: {error}") from error
    try:
        yield database
    finally:
        await database.close()


def pack_folder(policies: Path, pack: str) -> Path:
    """The folder of a pack. Raises typer.BadParameter that names the packs there are."""
    if not (policies / pack).is_dir():
        known = sorted(found.parent.name for found in policies.glob("*/pack.yaml"))
        raise typer.BadParameter(
            f"there is no pack {pack!r} in {policies}: choose {', '.join(known) or 'another folder'}",
            param_hint="--pack",
        )
    return policies / pack


def service_named(name: str, where: str = "SERVICE") -> "ServiceName":
    """The service of this name, given as `where`. Raises typer.BadParameter that names them all."""
    from shared.settings import SERVICES

    found = next((service for service in SERVICES if service == name), None)
    if found is None:
        raise typer.BadParameter(f"{name} is none of {', '.join(SERVICES)}", param_hint=where)
    return found


def read_settings(service: "ServiceName") -> "CoreSettings":
    """The service's settings from the environment. Raises typer.BadParameter that names the bad ones."""
    from pydantic import ValidationError

    from shared.settings import CoreSettings, describe_faults

    try:
        return CoreSettings.for_service(service)
    except ValidationError as error:
        raise typer.BadParameter(
            f"{describe_faults(error)}: run it with the environment of the service {service}",
            param_hint="environment",
        ) from error


def read_kafka_access(bootstrap: str) -> "KafkaAccess":
    """Access to these brokers, as the environment says. Raises typer.BadParameter that names what is bad."""
    from pydantic import ValidationError

    from shared.settings import KafkaSettings, describe_faults

    try:
        return KafkaSettings(kafka_bootstrap=bootstrap).kafka
    except ValidationError as error:
        raise typer.BadParameter(describe_faults(error), param_hint="environment") from error
