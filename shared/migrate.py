"""Roles, schemas and migrations: dbmate with plain SQL files, the core's first, then the service's."""

import os
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from shared.errors import CivicloomError, DatabaseAway
from shared.settings import REPOSITORY, SERVICES, ServiceName, with_user

# Versions have five digits in the core and four in a service: they never collide, and the core's sort first.
CORE = REPOSITORY / "shared" / "migrations"


@dataclass
class MigrationFailed(CivicloomError):
    """A migration failed and was rolled back."""

    service: str
    output: str

    def __str__(self) -> str:
        return f"migrations of {self.service} failed: {self.output}"


def role_url(admin_url: str, service: ServiceName) -> str:
    """The admin's database as the service's role.

    The password is that of `<SERVICE>_DATABASE_URL`, if that is set, else the admin's.
    """
    own = os.environ.get(f"{service}_database_url".upper())
    return with_user(admin_url, service, urlsplit(own).password if own else None)


async def prepare_roles(admin_url: str) -> None:
    """Creates the missing roles and schemas of the services. A role owns its schema and reads no other.

    Raises DatabaseAway.
    """
    try:
        connection = await asyncpg.connect(admin_url, timeout=10)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        raise DatabaseAway(f"no database answers at DATABASE_URL: {error}") from error
    try:
        # Two runs at a time would collide in the catalogue; the second waits and finds everything present.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('civicloom roles'))")
            for service in SERVICES:
                if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", service):
                    await connection.execute(f"CREATE ROLE {service} LOGIN")
                if password := urlsplit(role_url(admin_url, service)).password:
                    quoted = await connection.fetchval("SELECT quote_literal($1::text)", unquote(password))
                    await connection.execute(f"ALTER ROLE {service} PASSWORD {quoted}")
                await connection.execute(f"GRANT {service} TO CURRENT_USER")
                await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {service} AUTHORIZATION {service}")
            await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    finally:
        await connection.close()


def migrate(admin_url: str, service: ServiceName) -> str:
    """Applies the pending migrations of one service, as its role; returns dbmate's output.

    Raises MigrationFailed.
    """
    folders = (CORE, REPOSITORY / "services" / service / "migrations")
    done = subprocess.run(  # noqa: S603  (our own binary and folders)
        [
            _dbmate(),
            "--url",
            _dbmate_url(role_url(admin_url, service), service),
            *(part for folder in folders if folder.is_dir() for part in ("-d", str(folder))),
            "--migrations-table",
            f"{service}.schema_migrations",
            "--no-dump-schema",
            "--migration-lock",
            "up",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MigrationFailed(service, (done.stderr or done.stdout).strip())
    return done.stdout.strip()


def _dbmate() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "dbmate")


def _dbmate_url(url: str, schema: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | {"search_path": schema}
    query.setdefault("sslmode", "disable")
    return urlunsplit(parts._replace(query=urlencode(query)))
