"""A service's database for a command that an operator gives in that service's environment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import typer

from shared.errors import CivicloomError

if TYPE_CHECKING:
    from shared.database import Database
    from shared.settings import CoreSettings, ServiceName


class DatabaseAway(CivicloomError):
    """Nobody answers at the service's database, or it is not what DATABASE_URL says."""


@asynccontextmanager
async def opened(service: "ServiceName") -> "AsyncIterator[Database]":
    """Opens and closes it. Raises typer.BadParameter for bad settings, DatabaseAway if nobody answers."""
    import asyncpg

    from shared.database import Database
    from shared.infrastructure import is_infrastructure

    try:
        database = await Database.open(settings(service))
    except Exception as error:
        if not (is_infrastructure(error) or isinstance(error, asyncpg.PostgresError)):
            raise
        raise DatabaseAway(f"the database of {service} does not answer: {error}") from error
    try:
        yield database
    finally:
        await database.close()


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
