"""Restores an installation whose databases came from a backup, from what its topics and its log still hold.

The databases are closed first and opened last: whatever ends in between, no service works until a restore has
finished, and a restore can be started again at any time.
"""

import getpass
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg

from services.audit.config import AuditSettings
from services.audit.log.files import LogFiles
from services.audit.log.keyfile import open_or_make
from services.audit.log.queries import cursors as log_cursors
from services.audit.log.queries import has_begun
from services.audit.log.rebuild import rebuild
from services.audit.log.reset import Reset
from services.audit.log.resume import record_reset
from services.audit.log.subjects import KeyBox
from services.inquiry import app as inquiry_app
from services.inquiry import restoring as inquiry
from services.inquiry.config import InquirySettings
from services.publisher import app as publisher_app
from services.publisher import restoring as publisher
from services.publisher.config import PublisherSettings
from services.routing import app as routing_app
from services.routing import restoring as routing
from shared.contracts.addresses import topic_name
from shared.contracts.common import DeadLetterDiscarded, DeadLetterRecorded, RequestRefused
from shared.contracts.inquiry import ContactRead
from shared.contracts.routing import DeliverySucceeded
from shared.packs import Packs
from shared.restore.notes import (
    CASE,
    ERASED,
    FORGOTTEN,
    INCOMPLETE,
    RECORD,
    drop_notes,
    keep_notes,
    read_notes,
)
from shared.restore.reopening import close, continue_sequences, known_sequences, reopen
from shared.restore.replay import Reading, ReplayDatabase, Replayed, matching_topics, replay
from shared.restore.said import Said, SaidEvent, read_said
from shared.service import Parts
from shared.settings import SERVICES, CoreSettings, ServiceName
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

_NO_STATE = (DeliverySucceeded, DeadLetterRecorded, DeadLetterDiscarded, RequestRefused, ContactRead)
"""Facts that leave nothing in the tables of their owner, or nothing that is still of use."""
Progress = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """What a restore did. `cases` are the rebuilt ones, by number with their channel; `incomplete` has a line
    for each that misses a part; `forgotten` are facts for a person to put back; `gone` the records that no
    topic has any more, as (consumer's topic, partition, first, end)."""

    epoch: int = 0
    cases: dict[str, str] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    forgotten: list[dict[str, str | None]] = field(default_factory=list)
    gone: list[tuple[str, int, int, int]] = field(default_factory=list)
    renumbered: int = 0
    read_again: int = 0
    said: int = 0
    log: dict[str, int] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Owner:
    """A service under restore: its closed database, and what it had said."""

    database: Database
    said: Said
    facts: list[SaidEvent]
    replaying: ReplayDatabase


async def restore_all(progress: Progress) -> Report:
    """Restores all four services. Settings come from the environment.

    Raises StillAtWork, KafkaError, LogError, asyncpg's errors, and pydantic.ValidationError for settings.
    """
    report = Report()
    async with AsyncExitStack() as stack:
        databases: dict[ServiceName, Database] = {}
        for service in SERVICES:
            databases[service] = await Database.open(_settings(service))
            stack.push_async_callback(databases[service].close)
        sessions: dict[ServiceName, asyncpg.Connection] = {}
        for service, database in databases.items():
            progress(f"closing {service}")
            sessions[service] = await close(database)
            stack.callback(sessions[service].terminate)
        said = {}
        for service, database in databases.items():
            progress(f"reading what {service} had said")
            said[service] = await read_said(database)
        report.said = sum(len(one.events) for one in said.values())
        epochs = [*(one.epoch for one in databases.values()), *(one.epoch for one in said.values())]
        report.epoch = max(epochs) + 1
        owners = {
            service: await _owner(database, said[service], report.epoch)
            for service, database in databases.items()
        }
        for service, work in _RESTORE.items():
            progress(f"restoring {service}")
            await work(owners[service], report)
        await _read_report(databases, report)
        for service, database in databases.items():
            await reopen(database, sessions[service])
    return report


def _settings(service: ServiceName) -> CoreSettings:
    kinds: dict[ServiceName, type[CoreSettings]] = {
        "audit": AuditSettings,
        "inquiry": InquirySettings,
        "publisher": PublisherSettings,
    }
    return kinds.get(service, CoreSettings).for_service(service)


async def _owner(database: Database, said: Said, epoch: int) -> _Owner:
    facts = said.above(await known_sequences(database, said))
    replaying = ReplayDatabase(database.pool, database.settings, database.clock, epoch, said)
    return _Owner(database, said, facts, replaying)


async def _inquiry(owner: _Owner, report: Report) -> None:
    settings = owner.database.settings
    assert isinstance(settings, InquirySettings)  # noqa: S101  (`_settings` makes it)
    packs = await Packs.open(owner.database, settings)
    answered = {one.event.causationid for one in owner.said.events.values() if one.event.causationid}
    async with owner.replaying.transaction(owner.said.highest) as tx:
        report.renumbered += await continue_sequences(tx, owner.said, report.epoch)
        taken = await inquiry.take_back(tx, packs, owner.facts)
        await keep_notes(tx.connection, CASE, taken.cases)
        await keep_notes(tx.connection, INCOMPLETE, dict.fromkeys(taken.incomplete, True))
        await _keep_facts(tx, owner, taken.taken)
    await _replay(owner, await inquiry_app.build(owner.replaying, settings), report, answered)
    async with owner.replaying.transaction(report.erased) as tx:
        lines = await inquiry.erase_again(tx, packs, report.erased)
        await keep_notes(tx.connection, INCOMPLETE, dict.fromkeys(lines, True))


async def _routing(owner: _Owner, report: Report) -> None:
    async with owner.replaying.transaction(owner.said.highest) as tx:
        report.renumbered += await continue_sequences(tx, owner.said, report.epoch)
        await _keep_facts(tx, owner, set())
        records = {said.event.id: True for said in routing.undelivered(owner.facts)}
        await keep_notes(tx.connection, RECORD, records)
    await _replay(owner, await routing_app.build(owner.replaying, owner.database.settings), report)
    ids = await read_notes(owner.database.pool, RECORD)
    undelivered = [owner.said.events[id_] for id_ in ids]
    async with owner.replaying.transaction(said.event.subject for said in undelivered) as tx:
        await routing.state_deliveries(tx, undelivered)
        await drop_notes(tx.connection, RECORD, ids)


async def _publisher(owner: _Owner, report: Report) -> None:
    settings = owner.database.settings
    assert isinstance(settings, PublisherSettings)  # noqa: S101  (`_settings` makes it)
    await _continue(owner, report)
    await _replay(owner, await publisher_app.build(owner.replaying, settings), report)
    async with owner.replaying.transaction() as tx:
        taken = await publisher.take_back(tx, list(owner.said.events.values()))
        await drop_notes(tx.connection, FORGOTTEN, taken)


async def _audit(owner: _Owner, report: Report) -> None:
    settings = owner.database.settings
    assert isinstance(settings, AuditSettings)  # noqa: S101  (`_settings` makes it)
    await _continue(owner, report)
    if settings.folder.is_dir():
        await _log(owner.database, settings, report)
    report.erased = set(await read_notes(owner.database.pool, ERASED))


async def _log(database: Database, settings: AuditSettings, report: Report) -> None:
    has_log = LogFiles(settings.folder).checkpoint() is not None or await has_begun(database.pool)
    signer = open_or_make(settings.key_file, settings.origin, has_log=has_log)
    keys = KeyBox(settings.key("audit subject keys"))
    connection = await database.connect()
    try:
        rebuilt = await rebuild(connection, signer, keys, settings.folder, settings.kafka)
        if rebuilt.entries:
            for (topic, partition), cursor in sorted((await log_cursors(connection)).items()):
                reset = Reset(topic, partition, cursor.next, cursor.next)
                await record_reset(connection, reset, operator=getpass.getuser(), reason="civicloom restore")
    finally:
        connection.terminate()
    report.log = {"entries": rebuilt.entries, "without_record": rebuilt.without_record}


_RESTORE: dict[ServiceName, Callable[[_Owner, Report], Awaitable[None]]] = {
    "audit": _audit,  # first, since the log knows erasures that the topics have no more
    "inquiry": _inquiry,
    "routing": _routing,
    "publisher": _publisher,
}


async def _continue(owner: _Owner, report: Report) -> None:
    async with owner.replaying.transaction(owner.said.highest) as tx:
        report.renumbered += await continue_sequences(tx, owner.said, report.epoch)
        await _keep_facts(tx, owner, set())


async def _keep_facts(tx: Tx, owner: _Owner, taken: set[str]) -> None:
    """Notes the facts that the tables have forgotten, but for those that were `taken` back."""
    left = [said for said in owner.facts if said.event.id not in taken and _has_state(said)]
    await keep_notes(tx.connection, FORGOTTEN, {said.event.id: _note(said) for said in left})


def _has_state(said: SaidEvent) -> bool:
    return said.contract.kind != "record" and not isinstance(said.event.data, _NO_STATE)


def _note(said: SaidEvent) -> dict[str, str | None]:
    event = said.event
    at = event.time.isoformat()
    return {"type": event.type, "subject": event.subject, "at": at, "actor": event.actor}


async def _replay(owner: _Owner, parts: Parts, report: Report, answered: Collection[str] = ()) -> None:
    settings = owner.database.settings
    names = [topic_name(settings.topic_namespace, topic) for topic in parts.topics]
    readings = [Reading(settings.service, names)]
    if parts.pattern is not None:
        readings.append(
            Reading(f"{settings.service}.actions", await matching_topics(settings, parts.pattern))
        )
    replayed: Replayed = await replay(owner.replaying, parts.handlers, readings, answered)
    report.read_again += replayed.records
    report.gone += replayed.gone


async def _read_report(databases: Mapping[ServiceName, Database], report: Report) -> None:
    """What this restore and those that were killed before it have noted."""
    for service, database in databases.items():
        report.cases |= await read_notes(database.pool, CASE)
        report.incomplete += await read_notes(database.pool, INCOMPLETE)
        found = await read_notes(database.pool, FORGOTTEN)
        report.forgotten += [{"service": service, "id": id_, **note} for id_, note in found.items()]
