"""Limits on the resources of a process that runs, for as long as a test wants it to be short of them."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPARE_DESCRIPTORS = 3
_SPARE_BYTES = 300_000


@contextmanager
def few_descriptors(pid: int) -> Iterator[None]:
    """While the body runs the process can open three more files or sockets, and no others."""
    is_open = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    with _limited(pid, resource.RLIMIT_NOFILE, is_open + _SPARE_DESCRIPTORS):
        yield


@contextmanager
def little_memory(pid: int) -> Iterator[None]:
    """While the body runs the process gets hardly any memory beyond what it has mapped."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    with _limited(pid, resource.RLIMIT_AS, pages * resource.getpagesize() + _SPARE_BYTES):
        yield


@contextmanager
def _limited(pid: int, kind: int, limit: int) -> Iterator[None]:
    """Only the soft limit is changed, which its owner may raise again. The process may end meanwhile."""
    soft, hard = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (limit, hard))
    try:
        yield
    finally:
        try:
            resource.prlimit(pid, kind, (soft, hard))
        except ProcessLookupError:
            return
