"""All checks of a run after its faults: the history, the tables of every service, the log."""

import asyncio
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import orjson

from harness.at_rest import check_acknowledged, check_core, check_log, check_resent
from harness.city import Citizens
from harness.clocks import Clock, check_clocks
from harness.faults import Injected
from harness.history import History, Violation
from harness.installation import Installation
from harness.observation import Observation
from harness.traces import (
    File,
    Line,
    Notice,
    check_files,
    check_notices,
    check_timeline,
    check_unit_records,
)
from services.inquiry.handlers import build_handlers as inquiry_handlers
from services.publisher.handlers import build_handlers as publisher_handlers
from services.routing.handlers import build_handlers as routing_handlers
from shared.clock import open_clock
from shared.contracts.addresses import topic_name
from shared.contracts.registry import REGISTRY
from shared.inbox.handlers import Handlers, accept_all
from shared.settings import REPOSITORY, CoreSettings, ServiceName

_NOTHING: Any = None  # only the types of the handlers are read
READERS: Mapping[ServiceName, Handlers] = {
    "inquiry": inquiry_handlers(_NOTHING),
    "routing": routing_handlers(_NOTHING),
    "publisher": publisher_handlers(_NOTHING, plain_http=False),
}
ANSWERS = {
    "civic.inquiry.received.v1": frozenset({"civic.case.dispatched.v1", "civic.case.triaged.v1"}),
    "civic.assignment.reply_proposed.v1": frozenset(
        {"civic.inquiry.replied.v1", "civic.inquiry.request_refused.v1"}
    ),
}
"""The events of another service that each of these causes, exactly one of them, where rules accept."""


async def check_run(
    installation: Installation,
    observation: Observation,
    citizens: Citizens,
    injected: Injected,
    letters: Mapping[str, int],
) -> tuple[History, list[Violation]]:
    """Everything that is wrong, with the history that shows it.

    `letters` is how often citizens got the letter of each notice.
    An installation that does not come to rest is reported by `ChaosRun.at_work`.
    """
    history = await observation.history()
    poison = {subject for subjects in injected.poison.values() for subject in subjects}
    found = [
        *history.violations(),
        *(
            violation
            for violation in history.unanswered(ANSWERS)
            if not any(subject in violation.detail for subject in poison)
        ),
        *check_acknowledged(history, ((case.id, case.sequence) for case in citizens.cases.values())),
        *check_acknowledged(history, citizens.evaluated.items()),
        *check_resent(history, injected.since_ms),
    ]
    for service, handlers in READERS.items():
        found += await _core(installation, observation, history, service, handlers, injected)
    found += check_log(history, await observation.log_entries())
    found += await _cases(observation, history, citizens, poison)
    found += await _traces(observation, history, poison, letters)
    found += check_clocks(history, _clock(installation), poison)
    found += await deadlocks(installation, observation)
    found += await _verified(installation, observation)
    found += [Violation("alive", story) for story in installation.ended_by_themselves()]
    return history, found


async def _core(  # noqa: PLR0917  (the whole run, handed on)
    installation: Installation,
    observation: Observation,
    history: History,
    service: ServiceName,
    handlers: Handlers,
    injected: Injected,
) -> list[Violation]:
    state = await observation.core_state(service)
    reads = frozenset(topic for _, topic, _ in state.ends)
    table = {kind: handler for kind in REGISTRY if (handler := handlers.get(kind)) is not None}
    # Of a type that the service accepts only sometimes, the last event may rightly be unknown to it.
    handled = frozenset(kind for kind, handler in table.items() if handler.accepts is accept_all)
    types = {"inquiry": "civic.inquiry.received.v1", "routing": "civic.assignment.signed.v1"}
    poisoned = frozenset(
        subject
        for logical, subjects in injected.poison.items()
        if topic_name(installation.namespace, logical) in reads and types[logical] in table
        for subject in subjects
    )
    noise = sum(record.topic in reads for record in history.unreadable)
    return check_core(
        history,
        state,
        handled=handled,
        reads=reads,
        parked=frozenset() if injected.given_up else poisoned,
        forged=frozenset(subject for subjects in injected.poison.values() for subject in subjects),
        dead=0 if injected.given_up else noise + len(poisoned),
    )


async def _cases(
    observation: Observation, history: History, citizens: Citizens, poison: set[str]
) -> list[Violation]:
    """State changes if and only if events: the cases of inquiry and routing against the topics (I4)."""
    last: dict[str, dict[str, tuple[int, str]]] = {}
    for key, seen in history.events.items():
        if key.subject not in poison and key.source == "/services/inquiry":
            last.setdefault(key.subject, {})[seen.type] = (key.ordinal, seen.id)
    received = {subject for subject, kinds in last.items() if "civic.inquiry.received.v1" in kinds}
    async with observation.tables("inquiry") as tables:
        cases = await tables.fetch("SELECT id, stage FROM inquiry WHERE number IS NOT NULL")
        receipts = await tables.fetch("SELECT inquiry, value FROM received")
    async with observation.tables("routing") as tables:
        files = await tables.fetch("SELECT id FROM case_file WHERE number IS NOT NULL")
        signed = await tables.fetch("SELECT inquiry, unit FROM assignment WHERE signed_at IS NOT NULL")
    found = _differ("cases of inquiry", {row["id"] for row in cases}, received)
    found += _differ("case files of routing", {row["id"] for row in files}, received)
    found += _differ("citizens' cases", {case.id for case in citizens.cases.values()}, received)
    if len({case.id for case in citizens.cases.values()}) != len(citizens.cases):
        found.append(Violation("I2", "two Idempotency-Keys were answered with one case"))
    found += [
        Violation("I4", f"the receipt of {row['inquiry']} is not the event")
        for row in receipts
        if orjson.loads(row["value"])["id"] != _receipt(last.get(row["inquiry"], {}))
    ]
    closed = {subject for subject, kinds in last.items() if _is_closed(kinds)}
    found += _differ("closed cases", {row["id"] for row in cases if row["stage"] == "closed"}, closed)
    signed_events = {
        (key.subject, str(seen.data["unit"]))
        for key, seen in history.events.items()
        if seen.type == "civic.assignment.signed.v1" and key.subject not in poison
    }
    return found + _differ(
        "signed assignments", {(row["inquiry"], row["unit"]) for row in signed}, signed_events
    )


def _clock(installation: Installation) -> Clock:
    grace = CoreSettings.model_fields["grace_seconds"].default
    return Clock(open_clock(installation.clock_file).now(), dt.timedelta(seconds=grace))


async def _traces(
    observation: Observation, history: History, poison: set[str], letters: Mapping[str, int]
) -> list[Violation]:
    """Each event by itself, in the tables of the services that read it."""
    async with observation.tables("inquiry") as tables:
        lines = await tables.fetch("SELECT inquiry, kind, data FROM step ORDER BY inquiry, id")
    async with observation.tables("routing") as tables:
        files = await tables.fetch("SELECT id, phase, cycle FROM case_file")
    async with observation.tables("publisher") as tables:
        ledger = await tables.fetch(
            "SELECT id, subject, step, state, attempts FROM delivery WHERE kind = 'notice'"
        )
        contacts = await tables.fetch("SELECT inquiry FROM contact WHERE stated")
    stated = {key.subject for key, seen in history.events.items() if seen.type == "civic.contact.stated.v1"}
    return [
        *check_timeline(
            history,
            (Line(row["inquiry"], row["kind"], orjson.loads(row["data"])) for row in lines),
            poison,
        ),
        *check_files(history, (File(*row) for row in files), poison),
        *check_unit_records(history),
        *_differ("contacts", {row["inquiry"] for row in contacts}, stated),
        *check_notices(history, [Notice(*row) for row in ledger], letters, poison),
    ]


def _receipt(kinds: Mapping[str, tuple[int, str]]) -> str:
    return kinds.get("civic.inquiry.received.v1", (0, ""))[1]


def _is_closed(kinds: Mapping[str, tuple[int, str]]) -> bool:
    closed = kinds.get("civic.inquiry.closed.v1", (0, ""))[0]
    return closed > kinds.get("civic.inquiry.reopened.v1", (0, ""))[0]


def _differ(what: str, table: set[Any], topic: set[Any]) -> list[Violation]:
    return [
        *(Violation("I4", f"{what}: {one} is in the table alone") for one in table - topic),
        *(Violation("I4", f"{what}: {one} is in events alone") for one in topic - table),
    ]


async def deadlocks(installation: Installation, observation: Observation) -> list[Violation]:
    """Deadlocks by the count of the database, which a crash resets, or by the logs of the services."""
    async with observation.tables("inquiry") as tables:
        counted = await tables.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
    logged = sum(copy.log.read_bytes().count(b"deadlock detected") for copy in installation.copies)
    count = max(counted, logged)
    return [Violation("locks", f"{count} deadlocks")] if count else []


async def _verified(installation: Installation, observation: Observation) -> list[Violation]:
    """The published files hold the whole log and pass `audit verify`."""
    async with observation.tables("audit") as tables:
        size, key = await tables.fetchrow("SELECT size, vkey FROM log_head")  # type: ignore[misc]
    folder = installation.folder / "data" / "log"
    command = [sys.executable, "-m", "services.cli", "audit", "verify", str(folder), "--key", key, "--json"]
    report: dict[str, Any] = {}
    for _ in range(20):
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=REPOSITORY, capture_output=True, check=False
        )
        report = json.loads(done.stdout or b"{}")
        if done.returncode == 0 and report["size"] == size:
            return []
        await asyncio.sleep(0.5)  # publishing follows the tables within a second
    return [Violation("I9", f"the log of {size} entries does not verify: {report}")]
