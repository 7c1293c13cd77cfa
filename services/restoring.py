"""Restores an installation whose databases came from a backup, from what its topics and its log still hold.

The databases are closed first and opened last: whatever ends in between, no service works until a restore has
finished, and a restore can be started again at any time.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from services.audit.config import AuditSettings
from services.audit.log.files import LogFiles
from services.audit.log.keyfile import open_or_make
from services.audit.log.queries import has_begun
from services.audit.log.rebuild import rebuild
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
from shared.restore.reopening import close, continue_sequences, known_sequences, reopen
from shared.restore.replay import Reading, ReplayDatabase, Replayed, matching_topics, replay
from shared.restore.said import Said, SaidEvent, read_said
from shared.service import Parts
from shared.settings import SERVICES, CoreSettings, ServiceName
from shared.unit_of_work.database import Database

_NO_STATE = (DeliverySucceeded, DeadLetterRecorded, DeadLetterDiscarded, RequestRefused, ContactRead)
"""Facts that leave nothing in the tables of their owner, or nothing that is still of use."""
Progress = Callable[[str], None]


class Forgotten(NamedTuple):
    """A fact that is on a topic and could not be put back into its owner's tables."""

    service: str
    type: str
    subject: str
    at: dt.datetime
    actor: str | None


@dataclass(slots=True)
class Report:
    """What a restore did. `cases` are the rebuilt ones, by number with their channel; `incomplete` has a line
    for each that misses a part; `forgotten` are facts for a person to look at; `gone` the records that no
    topic has any more, as (consumer's topic, partition, first, end)."""

    epoch: int = 0
    cases: dict[str, str] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    forgotten: list[Forgotten] = field(default_factory=list)
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
    packs = await Packs.open(owner.database.pool, settings)
    async with owner.replaying.transaction(owner.said.highest) as tx:
        report.renumbered += await continue_sequences(tx, owner.said, report.epoch)
        taken = await inquiry.take_back(tx, packs, owner.facts)
    report.cases |= taken.cases
    report.incomplete += taken.incomplete
    await _replay(owner, await inquiry_app.build(owner.replaying, settings), report, taken.answered)
    async with owner.replaying.transaction(report.erased) as tx:
        report.incomplete += await inquiry.erase_again(tx, packs, report.erased)
    _list_forgotten("inquiry", owner, taken.taken, report)


async def _routing(owner: _Owner, report: Report) -> None:
    await _continue(owner, report)
    await _replay(owner, await routing_app.build(owner.replaying, owner.database.settings), report)
    async with owner.replaying.transaction(owner.said.highest) as tx:
        await routing.state_deliveries(tx, owner.facts, owner.replaying.repeated)
    _list_forgotten("routing", owner, set(), report)


async def _publisher(owner: _Owner, report: Report) -> None:
    settings = owner.database.settings
    assert isinstance(settings, PublisherSettings)  # noqa: S101  (`_settings` makes it)
    await _continue(owner, report)
    await _replay(owner, await publisher_app.build(owner.replaying, settings), report)
    async with owner.replaying.transaction() as tx:
        taken = await publisher.take_back(tx, owner.facts)
    _list_forgotten("publisher", owner, taken, report)


async def _audit(owner: _Owner, report: Report) -> None:
    settings = owner.database.settings
    assert isinstance(settings, AuditSettings)  # noqa: S101  (`_settings` makes it)
    await _continue(owner, report)
    if settings.folder.is_dir():
        await _log(owner.database, settings, report)
    _list_forgotten("audit", owner, set(), report)


async def _log(database: Database, settings: AuditSettings, report: Report) -> None:
    has_log = LogFiles(settings.folder).checkpoint() is not None or await has_begun(database.pool)
    signer = open_or_make(settings.key_file, settings.origin, has_log=has_log)
    keys = KeyBox(settings.key("audit subject keys"))
    connection = await database.connect()
    try:
        rebuilt = await rebuild(connection, signer, keys, settings.folder, settings.kafka_bootstrap)
    finally:
        connection.terminate()
    report.log = {"entries": rebuilt.entries, "without_record": rebuilt.without_record}
    report.erased |= rebuilt.erased


_RESTORE: dict[ServiceName, Callable[[_Owner, Report], Awaitable[None]]] = {
    "audit": _audit,  # first, since the log knows erasures that the topics have no more
    "inquiry": _inquiry,
    "routing": _routing,
    "publisher": _publisher,
}


async def _continue(owner: _Owner, report: Report) -> None:
    async with owner.replaying.transaction(owner.said.highest) as tx:
        report.renumbered += await continue_sequences(tx, owner.said, report.epoch)


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


def _list_forgotten(service: ServiceName, owner: _Owner, taken: set[str], report: Report) -> None:
    for said in owner.facts:
        event = said.event
        known = event.id in taken or event.id in owner.replaying.repeated
        if not known and said.contract.kind != "record" and not isinstance(event.data, _NO_STATE):
            report.forgotten.append(Forgotten(service, event.type, event.subject, event.time, event.actor))
