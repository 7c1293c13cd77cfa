"""The only SQL of routing: case files in sets, orphan actions, and the lists that people read."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from services.routing.domain.case_file import Assignment, AssignmentState, CaseFile, Proposal, State
from shared import sql
from shared.contracts.inquiry import CaseKind, InquiryWords, Visibility
from shared.contracts.routing import Role, TriageReason
from shared.ids import read_case_number
from shared.unit_of_work.transaction import Connection

QUERIES = sql.load("services.routing")
ConnectionOrPool = Connection | asyncpg.Pool


class Cursor(NamedTuple):
    """Where a list goes on: after the row with this sort key (due or waiting time) and this case id."""

    moment: dt.datetime
    id: str


BEGINNING = Cursor(dt.datetime(1, 1, 1, tzinfo=dt.UTC), "")


class OrphanAction(NamedTuple):
    """An action that belongs to no case, to be refused with the unit as subject. `action` is its id."""

    unit: str
    action: str
    rule: str
    detail: str | None
    received_at: dt.datetime


class DeskRow(NamedTuple):
    """A line of a unit's list; the columns of desk_open and desk_closed in their order."""

    id: str
    number: str
    kind: CaseKind
    service_code: str
    area: str | None
    visibility: Visibility
    urgent: bool
    state: State
    reply_due: dt.datetime
    reply_day_count: str | None
    sign_due: dt.datetime | None
    policy_version: str | None
    lead: str | None
    title: str | None
    reply_pending: bool
    reply_refused: str | None
    role: Role
    assignment: AssignmentState

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.reply_due, self.id)


class TriageRow(NamedTuple):
    """A line of the dispatchers' queue; the columns of triage_queue in their order."""

    id: str
    number: str
    kind: CaseKind
    service_code: str
    area: str | None
    visibility: Visibility
    urgent: bool
    reply_due: dt.datetime
    reply_day_count: str | None
    policy_version: str | None
    hint: str | None
    reason: TriageReason
    since: dt.datetime
    attempt: int
    title: str | None

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.since, self.id)


async def case_files(connection: ConnectionOrPool, ids: Sequence[str]) -> dict[str, CaseFile]:
    """The files that exist, by id, with their assignments."""
    rows = await connection.fetch(QUERIES["case_files"], ids)
    if not rows:
        return {}
    held: dict[str, list[Assignment]] = {}
    for row in await connection.fetch(QUERIES["assignments"], [row["id"] for row in rows]):
        inquiry, *parts = row.values()
        held.setdefault(inquiry, []).append(Assignment(*parts))
    return {row["id"]: _case_file(row, held.get(row["id"], ())) for row in rows}


async def words(connection: ConnectionOrPool, ids: Sequence[str]) -> dict[str, InquiryWords]:
    """The words of citizens by case id; a case whose words have not arrived or are erased is missing."""
    rows = await connection.fetch(QUERIES["words"], ids)
    return {row["id"]: InquiryWords.model_validate_json(row["words"]) for row in rows}


async def save(
    connection: Connection, files: Sequence[CaseFile], words: Mapping[str, InquiryWords] | None = None
) -> None:
    """Inserts or updates files and assignments; `words` by case id where inquiry.received brought them."""
    if not files:
        return
    rows = [_case_row(file, (words or {}).get(file.id)) for file in files]
    await connection.execute(QUERIES["save_case_files"], *_columns(rows))
    assignments = [_assignment_row(file, one) for file in files for one in file.assignments]
    if assignments:
        await connection.execute(QUERIES["save_assignments"], *_columns(assignments))


async def add_orphan_actions(connection: Connection, orphans: Sequence[OrphanAction]) -> None:
    """Stores them for the units' timers."""
    if orphans:
        await connection.execute(QUERIES["add_orphan_actions"], *_columns(orphans))


async def take_orphan_actions(connection: Connection, units: Sequence[str]) -> list[OrphanAction]:
    """Deletes the orphan actions of these units and returns them in the order of their arrival."""
    return [OrphanAction(*row) for row in await connection.fetch(QUERIES["take_orphan_actions"], units)]


async def desk_cases(
    connection: ConnectionOrPool,
    unit: str,
    after: Cursor | None,
    *,
    state: str | None,
    search: str | None = None,
    limit: int,
) -> list[DeskRow]:
    """A unit's cases after the cursor, by due time: its open work, or with `state` the cases in that state.

    `search` is a part of the title, or the number in any spelling that `read_case_number` accepts.
    """
    number = read_case_number(search or "")
    due, identifier = after or BEGINNING
    if state == "closed":
        rows = await connection.fetch(QUERIES["desk_closed"], unit, due, identifier, search, number, limit)
    else:
        rows = await connection.fetch(
            QUERIES["desk_open"], unit, due, identifier, search, number, limit, state
        )
    return [DeskRow(*row) for row in rows]


async def has_cases(connection: ConnectionOrPool, unit: str) -> bool:
    """Whether one of the unit's lists shows a case: live or done."""
    return bool(await connection.fetchval(QUERIES["has_cases"], unit))


async def triage_queue(connection: ConnectionOrPool, after: Cursor | None, limit: int) -> list[TriageRow]:
    """Cases that a dispatcher has to dispatch, after the cursor, longest waiting first."""
    since, identifier = after or BEGINNING
    rows = await connection.fetch(QUERIES["triage_queue"], since, identifier, limit)
    return [TriageRow(*row) for row in rows]


async def reply_is_pending(connection: ConnectionOrPool, inquiry: str) -> bool:
    """Whether a proposed reply waits for inquiry's answer."""
    return bool(await connection.fetchval(QUERIES["reply_is_pending"], inquiry))


async def count_triage(connection: ConnectionOrPool) -> int:
    """How many cases are in triage."""
    found: int = await connection.fetchval(QUERIES["count_triage"])
    return found


def _case_file(row: asyncpg.Record, assignments: Iterable[Assignment]) -> CaseFile:
    parts = dict(row)
    proposal, unit, action, by_topic = (
        parts.pop(name) for name in ("proposal", "proposal_unit", "proposal_action", "proposal_by_topic")
    )
    pending = Proposal(unit, action, by_topic, proposal) if proposal is not None else None
    return CaseFile(**parts, proposal=pending, assignments=tuple(assignments))


def _case_row(file: CaseFile, words: InquiryWords | None) -> tuple[Any, ...]:
    """The columns of save_case_files."""
    f, p = file, file.proposal
    return (
        *(f.id, f.phase, f.number, f.kind, f.service_code, f.area, f.visibility, f.urgent, f.hint),
        *(f.notify, f.received_at, f.reply_due, f.reply_day_count, f.cycle),
        *(f.policy_version, f.jurisdiction),
        *(f.dispatch_state, f.attempt, f.lead, f.rule, f.triage_reason, f.triaged_at, f.sign_due),
        *((p.id, p.unit, p.action, p.by_topic) if p else (None, None, None, None)),
        f.reply_refused,
        words.model_dump_json(exclude_none=True) if words and f.phase != "erased" else None,
    )


def _assignment_row(file: CaseFile, one: Assignment) -> tuple[Any, ...]:
    """The columns of save_assignments."""
    return (
        *(file.id, one.unit, one.role, one.state, one.attempt, one.offered_at, one.signed_at, one.ended_at),
        *(one.reason, one.note, one.refused_on, one.refusals, file.reply_due),
    )


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as one array per column, as `unnest` takes them."""
    return list(map(list, zip(*rows, strict=True)))
