"""The broker's jars: resolved without Maven, accepted only by hash.

`python -m deploy.local.jars` fetches them; `--pin` rewrites `kafka.sha256` after KAFKA_VERSION has changed.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from deploy.local.errors import JarsRefusedError, JarsUnavailableError, LocalError

KAFKA_VERSION = "4.3.1"

# Two resolutions on purpose: with slf4j in the first, the resolver picks another version of kafka-clients.
_ENDPOINTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    "org.slf4j:slf4j-simple:1.7.36",
)
_SUMS = Path(__file__).with_name("kafka.sha256")
_REPO = Path(__file__).resolve().parents[2]

Advance = Callable[[int], None]


def cache_folder() -> Path:
    """The folder for downloads: `CIVICLOOM_CACHE`, else `.cache` in the repository."""
    return Path(os.environ.get("CIVICLOOM_CACHE", _REPO / ".cache")).absolute()


def kafka_libs() -> Path:
    """The folder whose `*.jar` are a broker's class path; fetched on the first call, verified on each.

    If `KAFKA_HOME` is set, the `libs` of that unpacked official Kafka, not verified. Safe in concurrent runs:
    the first fetches, the others wait. Raises JarsRefusedError for a wrong hash, JarsUnavailableError
    when the registry cannot be reached, LocalError for a KAFKA_HOME without jars.
    """
    if home := os.environ.get("KAFKA_HOME"):
        libs = Path(home).absolute() / "libs"
        if not any(libs.glob("kafka_*.jar")):
            raise LocalError(
                f"KAFKA_HOME={home} holds no libs/kafka_*.jar; unpack an official Apache Kafka there"
            )
        return libs
    sums = _read_sums(_SUMS)
    cache = cache_folder() / "kafka"
    libs = cache / "libs"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _names(libs) != set(sums):
            _install(libs, sums)
        else:
            verify(libs, sums)
    return libs


def verify(libs: Path, sums: dict[str, str]) -> None:
    """Raises JarsRefusedError for the first jar in `libs` that `sums` (name: SHA-256 hex) does not hold."""
    for jar in sorted(libs.glob("*.jar")):
        found = _sha256(jar)
        if sums.get(jar.name) != found:
            raise JarsRefusedError(jar, sums.get(jar.name), found)


def _install(libs: Path, sums: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix="fetch-") as work:
        fetched = Path(work) / "libs"
        _fetch(fetched, expected=len(sums))
        verify(fetched, sums)
        if missing := set(sums) - _names(fetched):
            raise JarsUnavailableError(f"the resolver left out {', '.join(sorted(missing))}")
        fetched.chmod(0o755)
        shutil.rmtree(libs, ignore_errors=True)
        fetched.rename(libs)


def _fetch(target: Path, expected: int | None = None) -> None:
    """Resolves and downloads the jars into the new folder `target`, with progress on stderr."""
    import jgo
    from jgo.maven import PythonResolver

    target.mkdir()
    print(f"fetching Apache Kafka {KAFKA_VERSION} ({expected or 'some'} jars, 56 MB), once", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="resolve-") as work, _progress() as report:
        for endpoint in _ENDPOINTS:
            try:
                environment = jgo.build(
                    endpoint, cache_dir=Path(work), resolver=PythonResolver(progress_callback=report)
                )
            except Exception as error:  # the resolver has no common base: requests, OSError, RuntimeError
                raise JarsUnavailableError(
                    f"cannot fetch {endpoint}: {error}. "
                    "Without a registry, set KAFKA_HOME to an unpacked Apache Kafka"
                ) from error
            for jar in environment.path.rglob("*.jar"):
                shutil.copyfile(jar, target / jar.name)


@contextmanager
def _progress() -> Iterator[Callable[[str, int], AbstractContextManager[Advance]]]:
    """A bar per download on a terminal; nothing where stderr is a file."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bars:

        @contextmanager
        def report(name: str, size: int) -> Iterator[Advance]:
            task = bars.add_task(name, total=size)
            try:
                yield lambda count: bars.advance(task, count)
            finally:
                bars.remove_task(task)

        yield report


def _names(libs: Path) -> set[str]:
    return {jar.name for jar in libs.glob("*.jar")}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read_sums(file: Path) -> dict[str, str]:
    """`sha256sum`'s own format: digest, two spaces, name."""
    return {name: digest for digest, name in (line.split() for line in file.read_text().splitlines())}


def _pin() -> None:
    with tempfile.TemporaryDirectory() as work:
        fetched = Path(work) / "libs"
        _fetch(fetched)
        lines = (
            f"{_sha256(jar)}  {jar.name}\n" for jar in sorted(fetched.glob("*.jar"), key=lambda jar: jar.name)
        )
        _SUMS.write_text("".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.jars", description="Fetch the broker's jars."
    )
    parser.add_argument(
        "--pin", action="store_true", help="trust what the registry has now: write kafka.sha256"
    )
    arguments = parser.parse_args()
    try:
        if arguments.pin:
            _pin()
        print(kafka_libs())
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
