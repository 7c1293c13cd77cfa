"""`civicloom migrate`: roles, schemas and tables of the services."""

import asyncio
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    cli.command("migrate")(migrate)


def _address(told: str) -> str:
    if not told.startswith(("postgres://", "postgresql://")):
        raise typer.BadParameter("not postgres://role:password@host:port/database")
    return told


def migrate(
    database_url: Annotated[
        str,
        typer.Option(
            envvar="DATABASE_URL",
            help="As a role that may create roles and schemas. PUBLISHER_DATABASE_URL and so on give the "
            "services' roles passwords of their own.",
            callback=_address,
        ),
    ],
) -> int:
    """Make each service's role and schema and apply its pending migrations. Safe to run again."""
    from shared.migrate import migrate as apply
    from shared.migrate import prepare_roles
    from shared.settings import SERVICES

    asyncio.run(prepare_roles(database_url))
    for service in SERVICES:
        typer.echo(f"{service}: {apply(database_url, service) or 'up to date'}")
    return 0
