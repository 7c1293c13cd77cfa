"""What an operator's command finds in its environment: a service's settings and database, a policy pack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shared.errors import DatabaseAway

if TYPE_CHECKING:
    from shared.settings import CoreSettings, ServiceName
    from shared.unit_of_work.database import Database


@asynccontextmanager
async def opened(service: "ServiceName") -> "AsyncIterator[Database]":
    """Opens and closes it. Raises typer.BadParameter for bad settings, DatabaseAway if nobody answers."""
    import asyncpg

    from shared.infrastructure import is_infrastructure
    from shared.unit_of_work.database import Database

    try:
        database = await Database.open(settings(service))
    except Exception as error:
        if not (is_infrastructure(error) or isinstance(error, asyncpg.PostgresError | ValueError)):
            raise
        raise DatabaseAway(f"the database of {service} does not answer: {error}") from error
    try:
        yield database
    finally:
        await database.close()


def pack_folder(policies: Path, pack: str) -> Path:
    """Where the pack lies. Raises typer.BadParameter that names those there are."""
    if not (policies / pack).is_dir():
        known = sorted(found.parent.name for found in policies.glob("*/pack.yaml"))
        raise typer.BadParameter(
            f"there is no pack {pack!r} in {policies}: choose {', '.join(known) or 'another folder'}",
            param_hint="--pack",
        )
    return policies / pack


def settings(service: "ServiceName") -> "CoreSettings":
    """From the environment. Raises typer.BadParameter that names what is wrong."""
    from pydantic import ValidationError

    from shared.settings import CoreSettings

    try:
        return CoreSettings.for_service(service)
    except ValidationError as error:
        faults = ", ".join(f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise typer.BadParameter(
            f"{faults}; give it the environment of the service {service}", param_hint="environment"
        ) from error
