"""The only SQL of routing: case files set by set, and the lists that people read."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from services.routing.domain.case_file import Assignment, CaseFile, Proposal
from shared import sql
from shared.contracts.inquiry import InquiryWords
from shared.ids import read_case_number
from shared.unit_of_work.transaction import Connection

_SQL = sql.load("services.routing")
Reader = Connection | asyncpg.Pool
Place = tuple[dt.datetime, str]
BEGINNING = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


class StrayAction(NamedTuple):
    """An action that belongs to no case, to be refused in the unit's own name."""

    unit: str
    action: str
    rule: str
    detail: str | None
    received_at: dt.datetime


async def case_files(connection: Reader, ids: Sequence[str]) -> dict[str, CaseFile]:
    """The files that exist, by id; two statements, the second only if there are any."""
    rows = await connection.fetch(_SQL["case_files"], ids)
    if not rows:
        return {}
    held: dict[str, list[Assignment]] = {}
    for row in await connection.fetch(_SQL["assignments"], [row["id"] for row in rows]):
        inquiry, *parts = row.values()
        held.setdefault(inquiry, []).append(Assignment(*parts))
    return {row["id"]: _case_file(row, held.get(row["id"], ())) for row in rows}


async def words(connection: Reader, ids: Sequence[str]) -> dict[str, InquiryWords]:
    """The words of those that have any (yet, or still)."""
    rows = await connection.fetch(_SQL["words"], ids)
    return {row["id"]: InquiryWords.model_validate_json(row["words"]) for row in rows}


async def save(
    connection: Connection, files: Sequence[CaseFile], words: Mapping[str, InquiryWords] | None = None
) -> None:
    """Stores files and assignments, whether new or known; `words` where inquiry.received brought them."""
    if not files:
        return
    told = words or {}
    rows = [
        (
            *(f.id, f.phase, f.number, f.kind, f.service_code, f.area, f.visibility, f.urgent, f.hint),
            *(f.notify, f.received_at, f.reply_due, f.reply_day_count, f.cycle),
            *(f.policy_version, f.jurisdiction),
            *(f.placement, f.attempt, f.lead, f.rule, f.triage_reason, f.triaged_at, f.sign_due),
            *((p.id, p.unit, p.action, p.by_topic) if (p := f.proposal) else (None, None, None, None)),
            f.reply_refused,
            told[f.id].model_dump_json(exclude_none=True) if f.id in told and f.phase != "erased" else None,
        )
        for f in files
    ]
    await connection.execute(_SQL["save_case_files"], *map(list, zip(*rows, strict=True)))
    assignments = [
        (
            *(f.id, a.unit, a.role, a.state, a.attempt, a.offered_at, a.signed_at, a.ended_at),
            *(a.reason, a.note, f.reply_due),
        )
        for f in files
        for a in f.assignments
    ]
    if assignments:
        await connection.execute(_SQL["save_assignments"], *map(list, zip(*assignments, strict=True)))


async def add_stray_actions(connection: Connection, strays: Iterable[StrayAction]) -> None:
    columns = list(map(list, zip(*strays, strict=True)))
    if columns:
        await connection.execute(_SQL["add_stray_actions"], *columns)


async def take_stray_actions(connection: Connection, units: Sequence[str]) -> list[StrayAction]:
    """Takes what waits for these units, in order; the rows are gone when the transaction commits."""
    return [StrayAction(*row) for row in await connection.fetch(_SQL["take_stray_actions"], units)]


async def desk(
    reader: Reader,
    unit: str,
    after: Place | None,
    *,
    state: str | None,
    search: str | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """A unit's cases after a place (due, id), due time first: what is to do, or those in one state.

    `search` is a part of the title, or the number in any spelling that can be read.
    """
    number = read_case_number(search or "")
    due, identifier = after or (BEGINNING, "")
    if state == "closed":
        rows = await reader.fetch(_SQL["desk_closed"], unit, due, identifier, search, number, limit)
    else:
        rows = await reader.fetch(_SQL["desk_open"], unit, due, identifier, search, number, limit, state)
    return [dict(row) for row in rows]


async def has_cases(reader: Reader, unit: str) -> bool:
    """Whether the unit has a case that one of its lists shows: live, or done."""
    return bool(await reader.fetchval(_SQL["has_cases"], unit))


async def triage(reader: Reader, after: Place | None, limit: int) -> list[dict[str, Any]]:
    """What a dispatcher has to place after a place (since, id), longest waiting first."""
    since, identifier = after or (BEGINNING, "")
    return [dict(row) for row in await reader.fetch(_SQL["triage"], since, identifier, limit)]


async def reply_is_pending(reader: Reader, inquiry: str) -> bool:
    """Whether a proposed reply waits for inquiry's answer."""
    return bool(await reader.fetchval(_SQL["reply_is_pending"], inquiry))


async def count_triage(reader: Reader) -> int:
    found: int = await reader.fetchval(_SQL["count_triage"])
    return found


def _case_file(row: asyncpg.Record, assignments: Iterable[Assignment]) -> CaseFile:
    parts = dict(row)
    proposal, unit, action, by_topic = (
        parts.pop(name) for name in ("proposal", "proposal_unit", "proposal_action", "proposal_by_topic")
    )
    pending = Proposal(unit, action, by_topic, proposal) if proposal is not None else None
    return CaseFile(**parts, proposal=pending, assignments=tuple(assignments))
