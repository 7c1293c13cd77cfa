"""Brings a case to where a test begins: dispatched, signed, replied, evaluated."""

import datetime as dt
from typing import Any

from shared.contracts.inquiry import ReplyWords
from shared.contracts.routing import (
    AssignmentSigned,
    CaseDispatched,
    ReplyProposed,
)
from tests.integration.inquiry.conftest import API, Running

LEAD = "yunxi-urban"
DUE = dt.datetime(2026, 11, 27, 9, 30, tzinfo=dt.UTC)
GRACE = dt.timedelta(seconds=30)
MINUTE = dt.timedelta(minutes=1)


async def dispatched(running: Running, **changes: Any) -> dict[str, Any]:
    taken = await running.take_in(**changes)
    await running.apply(taken["id"], CaseDispatched(lead=LEAD, co=("transport",), rule="r-1", attempt=1))
    return taken


async def signed(running: Running, **changes: Any) -> dict[str, Any]:
    taken = await dispatched(running, **changes)
    await running.apply(taken["id"], AssignmentSigned(unit=LEAD, role="lead", action="a-1"))
    return taken


async def propose(running: Running, inquiry: str, *, unit: str = LEAD, **when: dt.datetime) -> None:
    await running.apply(
        inquiry,
        ReplyProposed(unit=unit, outcome="solved", action="a-9"),
        ReplyWords(text="路灯已修复。"),
        **when,
    )


async def replied(running: Running) -> dict[str, Any]:
    taken = await signed(running)
    await propose(running, taken["id"])
    return taken


async def evaluate(running: Running, taken: dict[str, Any], **changes: Any) -> Any:
    body = {"contacted": True, "solved": "yes", "rating": 5} | changes
    return await running.post(f"{API}/{taken['number']}/evaluation", body, secret=taken["secret"])


async def scheduled(running: Running, inquiry: str) -> dict[str, dt.datetime]:
    rows = await running.database.pool.fetch("SELECT kind, due FROM timer WHERE aggregate = $1", inquiry)
    return {row["kind"]: row["due"] for row in rows}
