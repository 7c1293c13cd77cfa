"""CPU seconds and memory of processes, sampled; PostgreSQL's backends by the client they work for."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import asyncpg
import psutil

_MEBIBYTE = 1 << 20

_BACKENDS = """
SELECT pid, coalesce(nullif(application_name, ''), backend_type) AS name FROM pg_stat_activity
WHERE backend_type <> 'parallel worker'
"""


@dataclass(slots=True)
class Meter:
    """Samples named processes and PostgreSQL's children; `take` every second or so.

    A backend is named by its `application_name`, so that a service's relay and slices tell themselves apart.
    """

    processes: Mapping[str, int]
    postgres: int
    _cpu: dict[tuple[str, int], float] = field(default_factory=dict)
    _first: dict[tuple[str, int], float] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)

    async def take(self, connection: asyncpg.Connection) -> None:
        """One sample: CPU seconds so far, and resident memory in MiB."""
        for name, pid in self.processes.items():
            resident = 0
            for process in _with_children(pid):
                self._note(name, process)
                resident += _resident(process)
            self.memory.setdefault(name, []).append(resident // _MEBIBYTE)
        names = {row["pid"]: row["name"] for row in await connection.fetch(_BACKENDS)}
        private = 0
        for process in _with_children(self.postgres):
            self._note(f"postgresql: {names.get(process.pid, 'server')}", process)
            private += _private(process)
        self.memory.setdefault("postgresql", []).append(private // _MEBIBYTE)

    def begin(self) -> None:
        """Starts to count: earlier use does not belong to the run."""
        self._first = dict(self._cpu)
        self.memory.clear()

    def cpu_seconds(self) -> dict[str, float]:
        """By name, since `begin`, most first. A process that came later counts from its birth."""
        total: dict[str, float] = {}
        for (name, pid), seconds in self._cpu.items():
            total[name] = total.get(name, 0.0) + seconds - self._first.get((name, pid), 0.0)
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def three(self) -> dict[str, tuple[int, int, int]]:
        """MiB at the start, in the middle and at the end, by name."""
        return {
            name: (sizes[0], sizes[len(sizes) // 2], sizes[-1])
            for name, sizes in self.memory.items()
            if sizes
        }

    def _note(self, name: str, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            self._cpu[name, process.pid] = times.user + times.system


def _with_children(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _private(process: psutil.Process) -> int:
    # Backends map the shared buffers: only what is not shared adds up.
    with contextlib.suppress(psutil.Error):
        found = process.memory_info()
        return int(found.rss - found.shared)
    return 0
