"""The core's statements on tables of a million rows that they must not read: how long each takes."""

from dataclasses import dataclass

import asyncpg

from harness.piles import Call, Caller, core_calls, fill

_RUNS = 5
LIMIT_MS = 20.0
"""No statement of the steady state may take longer."""

# What is asked by an operator, once when something has happened, or while a topic refuses.
NOT_STEADY = frozenset(
    {
        "count_dead_letters",
        "count_outbox",
        "count_paused_rows",
        "count_waiting",
        "emitted_ordinals",
        "list_dead_letters",
        "matching_dead_letters",
        "pause_rows",
        "waiting_values",
    }
)


@dataclass(frozen=True, slots=True)
class PileTime:
    """A call, the arguments that tell it from others of its name, and its time in milliseconds.

    The shortest of some runs: what the statement costs, and not its neighbours on the machine.
    """

    name: str
    of: str
    ms: float
    is_steady: bool


async def run_piles(database_url: str, schema: str, rows: int) -> list[PileTime]:
    """Fills the tables of one service with `rows` rows each and times every call; slowest first."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": schema})
    try:
        await fill(connection, rows)
        await connection.execute("VACUUM ANALYZE")
        caller = Caller(connection, generic=True)
        times = [_time(call, await caller.seconds(call, _RUNS)) for call in core_calls(rows)]
    finally:
        await connection.close()
    return sorted(times, key=lambda time: -time.ms)


def _time(call: Call, seconds: list[float]) -> PileTime:
    of = call.arguments[0] if call.name in {"take_batch", "take_paused_batch"} else ""
    of = {"'{0}'::smallint[]": "one shard of 16, small"}.get(of, "all shards") if of else ""
    return PileTime(call.name, of, min(seconds) * 1000, call.name not in NOT_STEADY)
