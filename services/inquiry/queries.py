"""Rows in and out: cases as the rules see them, set by set."""

import datetime as dt
from collections.abc import Iterable, Sequence

import asyncpg
import orjson

from services.inquiry.domain.case import Case, Step
from services.inquiry.domain.clock import ReplyClock
from services.inquiry.domain.states import Holding, Stage
from shared import sql
from shared.unit_of_work.transaction import Connection, Tx

QUERIES = sql.load("services.inquiry")


async def load_cases(connection: Connection, ids: Sequence[str]) -> dict[str, Case]:
    """The cases by id; one that nobody has mentioned yet is `unknown`."""
    found = {row["id"]: case_of(row) for row in await connection.fetch(QUERIES["load_cases"], ids)}
    return {id_: found.get(id_) or Case(id_) for id_ in ids}


def case_of(row: asyncpg.Record) -> Case:
    """A row of the table `inquiry` as the rules see it."""
    clock = None
    if row["due"] is not None:
        clock = ReplyClock(row["clock_start"], row["due"], row["day_zero"], row["amount"], row["day_count"])
    return Case(
        row["id"],
        Stage(row["stage"]),
        row["kind"],
        row["service_code"],
        row["urgent"],
        row["cycle"],
        row["policy_version"],
        clock,
        row["breached"],
        row["evaluate_until"],
        row["closed_at"],
        row["erased_at"],
        Holding(row["holding"]),
        row["lead"],
        tuple(row["co"]),
        row["attempt"],
    )


async def store_holding(tx: Tx, cases: Sequence[Case]) -> None:
    """Writes routing's part of distinct cases."""
    await tx.connection.execute(
        QUERIES["store_holding"],
        [case.id for case in cases],
        [case.holding for case in cases],
        [case.lead for case in cases],
        [",".join(case.co) for case in cases],
        [case.attempt for case in cases],
    )


async def store_cases(tx: Tx, cases: Sequence[Case]) -> None:
    """Writes our part of distinct cases."""
    if not cases:
        return
    clocks = [case.clock for case in cases]
    await tx.connection.execute(
        QUERIES["store_cases"],
        [case.id for case in cases],
        [case.stage for case in cases],
        [case.cycle for case in cases],
        [case.policy_version for case in cases],
        [clock and clock.start for clock in clocks],
        [clock and clock.due for clock in clocks],
        [clock and clock.day_zero for clock in clocks],
        [clock and clock.amount for clock in clocks],
        [clock and clock.day_count for clock in clocks],
        [case.breached for case in cases],
        [case.evaluate_until for case in cases],
        [case.closed_at for case in cases],
        [case.erased_at for case in cases],
    )


async def insert_steps(tx: Tx, steps: Iterable[tuple[str, dt.datetime, Step]]) -> None:
    """Writes lines of timelines: (inquiry id, moment, step), in order."""
    rows = list(steps)
    if not rows:
        return
    await tx.connection.execute(
        QUERIES["insert_steps"],
        [inquiry for inquiry, _, _ in rows],
        [at for _, at, _ in rows],
        [step.kind for _, _, step in rows],
        [orjson.dumps(step.data).decode() for _, _, step in rows],
        [step.words for _, _, step in rows],
    )


async def erase(tx: Tx, inquiry: str) -> None:
    """Nulls what people wrote and where they can be reached."""
    for name in ("erase_words", "erase_step_words", "erase_contact"):
        await tx.connection.execute(QUERIES[name], inquiry)
