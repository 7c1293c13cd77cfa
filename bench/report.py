"""Results as aligned tables for a terminal."""

from collections.abc import Mapping, Sequence

from bench.flood import LIMIT_SECONDS, Flood
from bench.intake import Intake
from bench.latency import Latency
from bench.log import Log
from bench.piles import LIMIT_MS, PileTime
from bench.progress import STEPS
from bench.soak import Soak
from bench.whole import Result

# What a process of the bench, or a backend that it does not own, is spent on.
_NAMES = {
    "generator": "generator (intake in batches)",
    "postgresql: generator": "postgresql for the generator",
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligns columns, the first to the left and all others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        first, *rest = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def piles_report(times: Sequence[PileTime], rows: int) -> str:
    """The slowest statements, and those of the steady state that take longer than they may."""
    slow = [time.name for time in times if time.is_steady and time.ms > LIMIT_MS]
    verdict = f"slower than {LIMIT_MS:.0f} ms: {', '.join(slow)}" if slow else f"none over {LIMIT_MS:.0f} ms"
    lines = [(f"{t.name} {t.of}".strip(), "" if t.is_steady else "no", f"{t.ms:,.1f}") for t in times]
    return f"piles of {rows:,} rows; steady state: {verdict}\n" + table(("statement", "steady", "ms"), lines)


def whole_report(result: Result, floor: float) -> str:
    quarters = " ".join(f"{rate:,.0f}" for rate in result.quarters)
    steps = [(step, f"{result.done_at.get(step, result.seconds):,.1f}") for step in STEPS]
    return "\n\n".join(
        (
            f"whole way: {result.rate:,.0f} inquiries/s "
            f"over {result.inquiries:,} in {result.seconds:,.0f} s; "
            f"floor {floor:,.0f}/s; ratio {result.rate / floor:.2f}\n"
            f"by quarter: {quarters} /s",
            table(("step", "all through after s"), steps),
            cost_table(result.cpu_us, "us of CPU per inquiry"),
            memory_table(result.memory),
        )
    )


def intake_report(result: Intake) -> str:
    return "\n\n".join(
        (
            f"HTTP intake: {result.rate:,.0f} acknowledged/s over {result.requests:,}, "
            f"p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms; "
            f"floor {result.floor_rate:,.0f}/s; ratio {result.rate / result.floor_rate:.2f}",
            cost_table(result.cpu_us, "us of CPU per request"),
        )
    )


def log_report(result: Log) -> str:
    copy = (result.copy_before + result.copy_after) / 2
    quarters = " ".join(f"{rate:,.0f}" for rate in result.quarters)
    return "\n\n".join(
        (
            f"log: {result.rate:,.0f} entries/s over {result.entries:,} in {result.seconds:,.0f} s; "
            f"plain COPY {result.copy_before:,.0f}/s before and {result.copy_after:,.0f}/s after; "
            f"ratio {result.rate / copy:.2f}\n"
            f"by quarter: {quarters} /s",
            cost_table(result.cpu_us, "us of CPU per entry"),
            memory_table(result.memory),
        )
    )


def latency_report(rate: float, found: Latency, floor: Latency) -> str:
    rows = [
        (name, f"{one.records:,}", *(f"{ms:,.0f}" for ms in (one.p50_ms, one.p99_ms, one.most_ms)))
        for name, one in (("civicloom", found), ("floor", floor))
    ]
    return (
        f"latency at {rate:,.0f}/s, received to department topic: p99 {found.p99_ms:,.0f} ms, "
        f"{found.p99_ms / floor.p99_ms:.1f} times the floor's\n\n"
        + table(("", "records", "p50 ms", "p99 ms", "most ms"), rows)
    )


def soak_report(result: Soak) -> str:
    """What grows, the level of each series that is not always zero, and what a case takes on the disk."""
    cases = result.cases
    growing = ", ".join(result.growing) or "nothing"
    left = ", ".join(f"{count} rows of {name}" for name, count in result.left.items()) or "nothing"
    levels = [
        (
            name,
            f"{one.level:,.1f}",
            f"{one.growth:+,.2f}",
            f"{one.allowed:,.1f}",
            "" if one.is_flat else "GROWS",
        )
        for name, one in result.levels.items()
        if one.level or one.growth
    ]
    zero = sum(not (one.level or one.growth) for one in result.levels.values())
    disk = [
        (
            name,
            *(f"{size / cases:,.0f}" for size in (one.all, one.rows, one.toast, one.indexes)),
            f"{result.rows[name] / cases:,.2f}" if name in result.rows else "",
        )
        for name, one in result.disk.items()
        if one.all / cases >= 1
    ]
    total = sum(one.all for one in result.disk.values()) / cases
    return "\n\n".join(
        (
            f"soak: {cases:,} cases, {result.evaluated:,} of them evaluated, in {result.seconds:,.0f} s "
            f"({cases / result.seconds:.1f}/s); asked again {result.waited_for} times\n"
            f"growing: {growing}; left at rest: {left}\n"
            f"{len(result.series.seconds)} samples, {result.series.longest_gap:,.0f} s at most between two",
            table(("second half", "level", "growth", "allowed", ""), levels),
            f"{zero} more series were zero throughout",
            f"a case takes {total / 1000:,.1f} kB on the disk",
            table(("bytes a case", "all", "rows", "TOAST", "indexes", "number of rows"), disk),
        )
    )


def flood_report(result: Flood) -> str:
    rows = [
        (name, f"{one.offers:,}", f"{one.p50:.2f}", f"{one.p99:.2f}", f"{one.most:.2f}", f"{one.late:,}")
        for name, one in (("before", result.before), ("since the first one", result.during))
    ]
    return (
        f"flood: {result.records:,} junk records of one unit in {result.sent_seconds:,.0f} s, "
        f"{result.read:,} of them read, {result.letters:,} dead letters\n\n"
        + table(("offers of others", "signed", "p50 s", "p99 s", "most s", f"over {LIMIT_SECONDS:g} s"), rows)
    )


def cost_table(cpu_us: Mapping[str, float], head: str) -> str:
    """CPU time by process; less than a microsecond is left out."""
    rows = [(_NAMES.get(name, name), f"{cost:,.0f}") for name, cost in cpu_us.items() if cost >= 1]
    return table(("where", head), [*rows, ("all", f"{sum(cpu_us.values()):,.0f}")])


def memory_table(memory: Mapping[str, tuple[int, int, int]]) -> str:
    rows = [(name, *(f"{size:,}" for size in sizes)) for name, sizes in memory.items()]
    return table(("resident memory", "start MiB", "middle", "end"), rows)
