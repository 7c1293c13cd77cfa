"""A backup of an installation in a folder: databases, keys and the published log, with a manifest.

The order matters. The database comes first, in one snapshot. The log's files are copied after it, so they
hold all that the dump holds, and a restore puts back into the tables what the files have more. Kafka is not
copied: its topics are what brings a restored installation up to date.
"""

import asyncio
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from services.audit.config import AuditSettings
from services.audit.log.files import LogFiles
from services.audit.log.keyfile import parse
from services.audit.log.source import CHECKPOINT
from services.audit.log.verify import verify
from services.postgres_tools import find_tool, run_tool
from shared.clock import machine_now
from shared.errors import CivicloomError
from shared.migrate import migrate, prepare_roles
from shared.settings import SERVICES, CoreSettings, ServiceName

MANIFEST = "manifest.json"
VERSION = 1
_MAGIC = b"PGDMP"
_KEYS, _LOG = "keys", "log"
# A table that every service has: a dump without it is not one of ours.
_SURE_TABLE = "aggregate"


class BackupUnusable(CivicloomError):
    """The folder is no complete backup, or does not fit this installation."""


@dataclass(slots=True)
class Manifest:
    """What a backup holds. `files` maps each path in the folder to its SHA-256, `dumps` each dump to its
    services, `secret` is a fingerprint of SECRET_KEY, `log_size` the number of published entries."""

    version: int
    begun: str
    finished: str
    postgres: str
    secret: str
    dumps: dict[str, list[ServiceName]]
    log_size: int
    files: dict[str, str] = field(default_factory=dict)


def back_up(folder: Path, dump: Path | None = None) -> Manifest:
    """Writes a backup to `folder`, which must not exist. `dump` is one made by `pg_dump -Fc` just before.

    Raises BackupUnusable, ToolFailed, asyncpg's errors and OSError; the folder does not exist then.
    """
    if folder.exists():
        raise BackupUnusable(f"{folder} exists already: name a new folder")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    settings = AuditSettings.for_service("audit")
    begun = machine_now()
    dumps = _dump_databases(partial, dump)
    _copy_keys(settings, partial / _KEYS)
    log_size = _copy_log(settings, partial / _LOG)
    manifest = Manifest(
        VERSION,
        str(begun),
        "",
        asyncio.run(_server_version(settings)),
        _fingerprint(settings),
        dumps,
        log_size,
    )
    manifest.files = {
        str(path.relative_to(partial)): _sha256(path) for path in sorted(partial.rglob("*")) if path.is_file()
    }
    manifest.finished = str(machine_now())
    written = partial / MANIFEST
    written.write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    _sync(partial)
    check(partial)
    partial.rename(folder)
    return manifest


def check(folder: Path) -> Manifest:
    """Compares every file of a backup with the manifest. Raises BackupUnusable with the first fault."""
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise BackupUnusable(f"{folder} is no complete backup: {error}") from error
    if manifest.version != VERSION:
        raise BackupUnusable(f"{folder} was made by another release: its version is {manifest.version}")
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            raise BackupUnusable(f"{path} is missing or damaged")
    for name, services in manifest.dumps.items():
        _check_dump(folder / name, services)
    return manifest


async def put_back(folder: Path) -> Manifest:
    """Puts a backup into empty databases, and keys and log where there are none.

    A log that is there is newer than the backup and stays. Raises BackupUnusable if a database is not empty
    or SECRET_KEY is another one, ToolFailed, and asyncpg's errors.
    """
    manifest = check(folder)
    settings = AuditSettings.for_service("audit")
    if manifest.secret != _fingerprint(settings):
        raise BackupUnusable("SECRET_KEY is not that of the backup: nothing sealed could be opened")
    for name, services in manifest.dumps.items():
        await _put_back_database(folder / name, services)
    if (folder / _KEYS / "log.key").exists() and not settings.key_file.exists():
        settings.key_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / _KEYS / "log.key", settings.key_file)
    if LogFiles(settings.folder).checkpoint() is None and (folder / _LOG).is_dir():
        shutil.copytree(folder / _LOG, settings.folder, dirs_exist_ok=True)
    return manifest


def _dump_databases(folder: Path, dump: Path | None) -> dict[str, list[ServiceName]]:
    if dump is not None:
        shutil.copy2(dump, folder / "database.dump")
        return {"database.dump": list(SERVICES)}
    dumps: dict[str, list[ServiceName]] = {}
    for number, (url, services) in enumerate(_databases()):
        name = f"database-{number}.dump"
        schemas = [f"--schema={service}" for service in services]
        run_tool("pg_dump", ["--format=custom", f"--file={folder / name}", *schemas], url)
        dumps[name] = services
    return dumps


def _databases() -> list[tuple[str, list[ServiceName]]]:
    """The databases, each with the services in it, as their owner or as the administrator."""
    found: dict[tuple[object, ...], tuple[str, list[ServiceName]]] = {}
    for service in SERVICES:
        settings = CoreSettings.for_service(service)
        own = settings.service_database_url
        where = _where(own)
        admin = os.environ.get("DATABASE_URL") or settings.database_url.get_secret_value()
        # An administrator can dump several schemas at once, in one snapshot.
        shared = _where(admin) == where
        place = where if shared else (*where, service)
        found.setdefault(place, (admin if shared else own, []))[1].append(service)
    return list(found.values())


def _where(url: str) -> tuple[object, ...]:
    parts = urlsplit(url)
    return parts.hostname, parts.port, parts.path


def _check_dump(path: Path, services: list[ServiceName]) -> None:
    """Lists the dump; where no program can (the operator's container), at least its first bytes are right."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BackupUnusable(f"{path} was not made by `pg_dump -Fc`")
    if find_tool("pg_restore") is None:
        return
    contents = run_tool("pg_restore", ["--list", path])
    for service in services:
        if f"TABLE DATA {service} {_SURE_TABLE} " not in contents:
            raise BackupUnusable(f"{path} has no tables of {service}")


def _copy_keys(settings: AuditSettings, target: Path) -> None:
    target.mkdir(mode=0o700)
    keys = settings.data_dir / "keys"
    for path in sorted(keys.iterdir()) if keys.is_dir() else []:
        if path.is_file():
            shutil.copy2(path, target / path.name)
    if settings.key_file.exists():
        shutil.copy2(settings.key_file, target / "log.key")


def _copy_log(settings: AuditSettings, target: Path) -> int:
    """Copies the log as it grows: the checkpoint is read first, and all files that it needs exist."""
    note = LogFiles(settings.folder).checkpoint()
    if note is None:
        return 0
    shutil.copytree(
        settings.folder, target, ignore=_unfinished, copy_function=_copy_if_there, dirs_exist_ok=True
    )
    (target / CHECKPOINT).write_bytes(note)
    report = verify(target, parse(settings.key_file.read_text()).verifier.vkey)
    if report.failure is not None:
        raise BackupUnusable(f"the log does not verify: {report.failure.place}: {report.failure.reason}")
    return report.entries


def _unfinished(_: str, names: list[str]) -> set[str]:
    """Files that are being written, and the checkpoint, which is written last."""
    return {name for name in names if name.startswith(".") or name == CHECKPOINT}


def _copy_if_there(source: str, target: str) -> None:
    """A partial tile may go while the folder is copied; the full one is there then."""
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        return


async def _put_back_database(dump: Path, services: list[ServiceName]) -> None:
    url = next(url for url, here in _databases() if services[0] in here)
    await prepare_roles(url)
    connection = await asyncpg.connect(url)
    try:
        for service in services:
            if await connection.fetchval(
                "SELECT true FROM pg_tables WHERE schemaname = $1 AND tablename = $2", service, _SURE_TABLE
            ):
                raise BackupUnusable(f"the schema {service} has tables: restore into an empty database")
        for service in services:
            await connection.execute(f"DROP SCHEMA {service}")
    finally:
        await connection.close()
    database = urlsplit(url).path.lstrip("/")
    run_tool("pg_restore", ["--exit-on-error", "--single-transaction", f"--dbname={database}", dump], url)
    for service in services:
        migrate(url, service)


async def _server_version(settings: CoreSettings) -> str:
    connection = await asyncpg.connect(settings.service_database_url)
    try:
        version: str = await connection.fetchval("SHOW server_version")
        return version
    finally:
        await connection.close()


def _fingerprint(settings: CoreSettings) -> str:
    return hashlib.sha256(settings.key("backup fingerprint")).hexdigest()[:32]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
