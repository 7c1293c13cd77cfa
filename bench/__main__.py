"""`python -m bench [RUN ...]`: measures the project and its ratio to the floor of the same run."""

import argparse
import asyncio
import dataclasses
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from bench import flood, report, soak
from bench.flood import run_flood
from bench.floor import floor_latencies, floor_rate
from bench.intake import run_intake
from bench.latency import Latency, run_latency
from bench.log import run_log
from bench.piles import run_piles
from bench.progress import topics_of
from bench.shape import Shape, measure_shape
from bench.soak import mail_server, run_soak
from bench.stage import Servers, Stage, machine, servers, stage
from bench.whole import Failed, Result, run_whole
from deploy.local.ports import free_port

# In the order in which they run. The amounts are those of the published results; use fewer for a quick look.
AMOUNTS = {
    "whole": 200_000,
    "intake": 20_000,
    "log": 300_000,
    "latency": 0,
    "floor": 5_000,
    "piles": 1_000_000,
    "soak": 0,
    "flood": 1_000_000,
}
_ASKED_FOR = ("floor", "piles", "soak", "flood")
_FLOOR_INQUIRIES = 20_000
_RATE_LOOK = 10_000


@dataclasses.dataclass(slots=True)
class Bench:
    """One run of the bench on running servers. `show` takes a report, `results` its figures by name."""

    on: Servers
    inquiries: int | None
    rate: float | None
    minutes: float
    results: dict[str, Any]
    show: Callable[[str], None]

    async def whole(self) -> None:
        async with stage(self.on, "whole") as here:
            result = await run_whole(here, self._amount("whole"), _tell)
            shape = await _shape(here, result)
        floor = await self._floor(here, shape)
        self.rate = self.rate or result.rate / 2
        self._keep("whole", dataclasses.asdict(result) | {"rate": result.rate, "floor_rate": floor})
        self.show(report.whole_report(result, floor))

    async def floor(self) -> None:
        async with stage(self.on, "shape") as here:
            shape = await _shape(here, await run_whole(here, self._amount("floor"), _tell))
        rate = await self._floor(here, shape)
        self._keep("floor", {"rate": rate, "shape": dataclasses.asdict(shape)})
        self.show(f"floor: {rate:,.0f} inquiries/s, median of 3 over {_FLOOR_INQUIRIES:,}")

    async def intake(self) -> None:
        async with stage(self.on, "intake", services=["inquiry"]) as here:
            result = await run_intake(here, self._amount("intake"))
        self._keep("intake", dataclasses.asdict(result))
        self.show(report.intake_report(result))

    async def log(self) -> None:
        async with stage(self.on, "log", services=["audit"], start=False) as here:
            result = await run_log(here, self._amount("log"), _tell)
        self._keep("log", dataclasses.asdict(result) | {"rate": result.rate})
        self.show(report.log_report(result))

    async def latency(self) -> None:
        if self.rate is None:
            async with stage(self.on, "rate") as here:
                self.rate = (await run_whole(here, _RATE_LOOK, _tell)).rate / 2
        async with stage(self.on, "latency") as here:
            latency, result = await run_latency(here, self.rate, _tell)
            shape = await _shape(here, result)
        pair, units = self.on.pair, here.installation.units
        found = await floor_latencies(pair.database_url, pair.access, units, shape, self.rate)
        floor = Latency.of(found)
        figures = {"latency": latency, "floor": floor}
        self._keep(
            "latency", {"rate": self.rate} | {n: dataclasses.asdict(one) for n, one in figures.items()}
        )
        self.show(report.latency_report(self.rate, latency, floor))

    async def piles(self) -> None:
        async with stage(self.on, "piles", services=["routing"], start=False) as here:
            rows = self._amount("piles")
            times = await run_piles(here.installation.database_url, "routing", rows)
        self._keep("piles", [dataclasses.asdict(time) for time in times])
        self.show(report.piles_report(times, rows))

    async def soak(self) -> None:
        port = free_port()
        settings = {"SMTP_URL": f"smtp://127.0.0.1:{port}"}
        async with (
            mail_server(port, self.on.folder / "mail"),
            stage(self.on, "soak", environment=settings) as here,
        ):
            result = await run_soak(here, self.minutes, self.rate or soak.RATE, _tell)
        self._keep("soak", dataclasses.asdict(result))
        self.show(report.soak_report(result))

    async def flood(self) -> None:
        async with stage(self.on, "flood") as here:
            result = await run_flood(here, self._amount("flood"), self.rate or flood.RATE, _tell)
        self._keep("flood", dataclasses.asdict(result))
        self.show(report.flood_report(result))

    async def _floor(self, here: Stage, shape: Shape) -> float:
        pair, units = self.on.pair, here.installation.units
        return await floor_rate(pair.database_url, pair.access, units, shape, _FLOOR_INQUIRIES)

    def _amount(self, name: str) -> int:
        return self.inquiries or AMOUNTS[name]

    def _keep(self, name: str, figures: Any) -> None:
        self.results[name] = figures


async def _shape(here: Stage, result: Result) -> Shape:
    _, departments = topics_of(here.installation.namespace, here.installation.units)
    access = here.installation.access
    return await measure_shape(here.connection, access, departments, result.inquiries, result.records)


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


def _show(text: str) -> None:
    print(f"\n{text}", flush=True)


def _hide(_: str) -> None:
    """Standard output is for the JSON alone."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=", ".join(AMOUNTS))
    parser.add_argument(
        "--inquiries", type=int, help="fewer or more than each run's own amount; piles: rows; flood: records"
    )
    parser.add_argument(
        "--rate", type=float, help="inquiries/s of latency (half of the whole way's), soak (20) and flood (5)"
    )
    parser.add_argument("--minutes", type=float, default=soak.MINUTES, help="soak: how long; 60 by default")
    parser.add_argument("--json", action="store_true", help="figures as JSON on standard output")
    arguments = parser.parse_args()
    for name in arguments.runs:
        if name not in AMOUNTS:
            parser.error(f"{name}: choose of {', '.join(AMOUNTS)}")
    # What the client retries while topics are young is no news.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    results: dict[str, Any] = {"machine": machine()}
    show: Callable[[str], None] = _hide if arguments.json else _show
    show(results["machine"])
    with servers() as on:
        bench = Bench(on, arguments.inquiries, arguments.rate, arguments.minutes, results, show)
        chosen = arguments.runs or [name for name in AMOUNTS if name not in _ASKED_FOR]
        for name in chosen:
            run: Callable[[], Awaitable[None]] = getattr(bench, name)
            try:
                asyncio.run(_as_coroutine(run))
            except Failed as error:
                print(f"\n{name} failed: {error}", file=sys.stderr)
                return 1
    if arguments.json:
        print(json.dumps(results, ensure_ascii=False, indent=1))
    return 0


async def _as_coroutine(run: Callable[[], Awaitable[None]]) -> None:
    await run()


if __name__ == "__main__":
    sys.exit(main())
