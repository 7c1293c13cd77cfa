"""`civicloom migrate`: creates roles, schemas and tables of the services."""

import asyncio
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    cli.command("migrate")(migrate)


def _address(value: str) -> str:
    if not value.startswith(("postgres://", "postgresql://")):
        raise typer.BadParameter("not postgres://role:password@host:port/database")
    return value


def migrate(
    database_url: Annotated[
        str,
        typer.Option(
            envvar="DATABASE_URL",
            help="The database, as a role that may create roles and schemas. PUBLISHER_DATABASE_URL and "
            "its like for the other services give their roles passwords of their own.",
            callback=_address,
        ),
    ],
) -> int:
    """Create and migrate the services' schemas.

    It creates each service's role and schema and applies the pending migrations. It can be run again safely.
    """
    from shared.migrate import migrate as apply
    from shared.migrate import prepare_roles
    from shared.settings import SERVICES

    asyncio.run(prepare_roles(database_url))
    for service in SERVICES:
        typer.echo(f"{service}: {apply(database_url, service) or 'up to date'}")
    return 0
