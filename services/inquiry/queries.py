"""The only SQL of inquiry, apart from the import's own: cases set by set, and what readers see of them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import asyncpg
import orjson

from services.inquiry.domain.case import Case, TimelineStep
from services.inquiry.domain.clock import ReplyClock
from services.inquiry.domain.concern import Contact, ExternalKey
from services.inquiry.domain.new_case import NewCase
from services.inquiry.domain.states import PARTS, STATE, Holding, Stage, State
from services.inquiry.domain.timeline import TimelineEntry
from shared import sql
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.transaction import Connection

Queryable = Connection | asyncpg.Pool

_SQL = sql.load("services.inquiry")
_NEW_CASE_COLUMNS = attrgetter(
    *("id", "number", "secret_hash", "concern.kind", "concern.service_code", "concern.area"),
    *("concern.visibility", "concern.channel", "concern.urgent", "concern.external_source"),
    *("concern.external_id", "concern.original_time", "beginning.stage", "beginning.policy_version"),
)
_CASE_COLUMNS = attrgetter(
    *("id", "stage", "cycle", "policy_version", "breached", "evaluate_until", "closed_at", "erased_at")
)
_CLOCK_COLUMNS = attrgetter("start", "due", "day_zero", "amount", "day_count")
_SUMMARY_COLUMNS = (
    *("id", "number", "kind", "service_code", "area", "visibility", "channel", "urgent"),
    *("created", "due", "lead", "words"),
)
_CONTACT_COLUMNS = attrgetter("name", "email", "phone", "language")


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """A case in a list. `words` is the JSON of `InquiryWords` with its salt; None once erased."""

    id: str
    number: str
    kind: str
    service_code: str
    area: str | None
    visibility: str
    channel: str
    urgent: bool
    created: dt.datetime
    due: dt.datetime | None
    state: State
    lead: str | None
    words: bytes | None


@dataclass(frozen=True, slots=True)
class CaseRecord(CaseSummary):
    """One whole case for a reader. `value` is the event of the intake as committed: the receipt."""

    case: Case
    secret_hash: str
    original_time: dt.datetime | None
    value: bytes


class KnownRow(NamedTuple):
    """A row of an external source, and the case that it became."""

    external_key: ExternalKey
    id: str
    number: str
    value: bytes


async def load_cases(connection: Connection, ids: Sequence[str]) -> dict[str, Case]:
    """The cases by id. One that neither intake nor routing has mentioned yet has the stage `unknown`."""
    found = {row["id"]: _case(row) for row in await connection.fetch(_SQL["load_cases"], ids)}
    return {id_: found.get(id_) or Case(id_) for id_ in ids}


async def packs_of(policies: Packs, reader: Queryable, cases: Mapping[str, Case]) -> dict[str, Pack]:
    """The pack that each case keeps, by the id of the case. Raises PackNotHere."""
    await policies.load(reader, {case.policy_version for case in cases.values()})
    return {id_: policies.of(case.policy_version) for id_, case in cases.items()}


async def store_holding(connection: Connection, cases: Sequence[Case]) -> None:
    """Writes routing's columns of distinct cases."""
    if cases:
        rows = [(case.id, case.holding, case.lead, ",".join(case.co), case.attempt) for case in cases]
        await connection.execute(_SQL["store_holding"], *_by_column(rows))


async def store_cases(connection: Connection, cases: Sequence[Case]) -> None:
    """Writes inquiry's own columns of distinct cases."""
    if cases:
        rows = [(*_CASE_COLUMNS(case), *_clock_columns(case.clock)) for case in cases]
        await connection.execute(_SQL["store_cases"], *_by_column(rows))


async def insert_steps(
    connection: Connection, steps: Sequence[tuple[str, dt.datetime, TimelineStep]]
) -> None:
    """Writes lines of timelines, in order: (inquiry id, moment, step)."""
    if steps:
        rows = [
            (inquiry, at, step.kind, orjson.dumps(step.data).decode(), step.words)
            for inquiry, at, step in steps
        ]
        await connection.execute(_SQL["insert_steps"], *_by_column(rows))


async def insert_cases(connection: Connection, cases: Sequence[NewCase], created: dt.datetime) -> None:
    """Writes new cases. Raises asyncpg.UniqueViolationError if one of an external source is known."""
    rows = [(*_NEW_CASE_COLUMNS(case), *_clock_columns(case.beginning.clock)) for case in cases]
    await connection.execute(_SQL["insert_cases"], *_by_column(rows), created)


async def insert_receipts(
    connection: Connection, receipts: Sequence[tuple[str, bytes, bytes | None]]
) -> None:
    """Writes the events of intake as committed: (inquiry id, value, words)."""
    await connection.execute(_SQL["insert_receipts"], *_by_column(receipts))


async def insert_contacts(connection: Connection, contacts: Sequence[tuple[str, Contact]]) -> None:
    """Writes contact points by inquiry id."""
    if contacts:
        rows = [(inquiry, *_CONTACT_COLUMNS(contact)) for inquiry, contact in contacts]
        await connection.execute(_SQL["insert_contacts"], *_by_column(rows))


async def find_known_rows(connection: Connection, keys: Sequence[ExternalKey]) -> list[KnownRow]:
    """Those of the external keys that have become cases already."""
    if not keys:
        return []
    rows = await connection.fetch(_SQL["find_external"], *_by_column(keys))
    return [
        KnownRow((row["external_source"], row["external_id"]), row["id"], row["number"], row["value"])
        for row in rows
    ]


async def erase_words_and_contact(connection: Connection, inquiry: str) -> None:
    """Nulls what people wrote about the case and deletes the contact points."""
    for name in ("erase_words", "erase_step_words", "erase_contact"):
        await connection.execute(_SQL[name], inquiry)


async def read_contact(reader: Queryable, inquiry: str) -> Contact | None:
    """The contact points that are kept, without webhook."""
    row = await reader.fetchrow(_SQL["read_contact"], inquiry)
    return None if row is None else Contact(*row)


async def contacts_of(reader: Queryable, inquiries: Sequence[str]) -> list[tuple[str, str, Contact | None]]:
    """Case, number and kept contact points, without webhook, of those of the cases that are not erased."""
    return [
        (row["id"], row["number"], Contact(*row[2:]) if row["language"] else None)
        for row in await reader.fetch(_SQL["contacts_of"], inquiries)
    ]


async def read_receipt(reader: Queryable, inquiry: str) -> bytes:
    """The event of the intake as committed; the case must exist."""
    value: bytes = await reader.fetchval(_SQL["read_value"], inquiry)
    return value


async def receipts_from(
    reader: Queryable, first: str, after: str, limit: int
) -> list[tuple[str, bytes, bytes | None]]:
    """Events of the intake with their words, by the case's id: from `first` on and after `after`."""
    return [tuple(row) for row in await reader.fetch(_SQL["receipts_from"], first, after, limit)]


async def find_case(reader: Queryable, id_: str | None, number: str | None) -> CaseRecord | None:
    """The case by its id or its number; None if it has not been received."""
    row = await reader.fetchrow(_SQL["find_case"], id_, number)
    if row is None:
        return None
    return CaseRecord(
        **_summary(row),
        case=_case(row),
        secret_hash=row["secret_hash"],
        original_time=row["original_time"],
        value=row["value"],
    )


async def read_steps(reader: Queryable, inquiry: str) -> list[TimelineEntry]:
    """The timeline after intake, in the order of recording."""
    rows = await reader.fetch(_SQL["read_steps"], inquiry)
    return [TimelineEntry(row["kind"], row["at"], orjson.loads(row["data"]), row["words"]) for row in rows]


async def list_cases(
    reader: Queryable, state: State | None, after: str | None, limit: int
) -> list[CaseSummary]:
    """Received cases, newest first, older than the id `after`: all, or those in one displayed state."""
    if state is None:
        rows = await reader.fetch(_SQL["list_cases"], after, limit)
    else:
        stage, holdings = PARTS[state]
        part = holdings[0] if stage is Stage.ACCEPTED else stage
        rows = await reader.fetch(_SQL["list_cases_in"], part, after, limit)
    return [CaseSummary(**_summary(row)) for row in rows]


async def list_to_accept(reader: Queryable, after: str | None, limit: int) -> list[CaseSummary]:
    """The cases that wait for a clerk, oldest first, newer than the id `after`."""
    rows = await reader.fetch(_SQL["list_to_accept"], after, limit)
    return [CaseSummary(**_summary(row)) for row in rows]


def _case(row: asyncpg.Record) -> Case:
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


def _summary(row: asyncpg.Record) -> dict[str, Any]:
    columns = {name: row[name] for name in _SUMMARY_COLUMNS}
    return columns | {"state": STATE[Stage(row["stage"]), Holding(row["holding"])]}


def _clock_columns(clock: ReplyClock | None) -> tuple[object, ...]:
    return (None,) * 5 if clock is None else _CLOCK_COLUMNS(clock)


def _by_column(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Rows as the arrays that the statements unnest, one per column."""
    return list(map(list, zip(*rows, strict=True)))
