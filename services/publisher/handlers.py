"""Events in: what a case's citizen is told, and where. A case without contact costs a look-up, no more."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.publisher.domain import notices
from services.publisher.domain.addresses import email_address
from services.publisher.keyring import Keyring, Sealed
from services.publisher.metrics import NOTICES_DECIDED
from services.publisher.queries import QUERIES
from services.publisher.sealed_webhook import SealedWebhook
from shared.clock import machine_now
from shared.contracts.base import EventData
from shared.contracts.inquiry import (
    ContactStated,
    DeadlineBreached,
    InquiryAccepted,
    InquiryClosed,
    InquiryErased,
    InquiryReceived,
    InquiryReopened,
    InquiryReplied,
)
from shared.contracts.publisher import Lane
from shared.contracts.routing import AssignmentSigned, CaseDispatched
from shared.events.decoding import IncomingEvent
from shared.ids import derived_id
from shared.inbox.handlers import Handlers
from shared.unit_of_work.transaction import Tx
from shared.webhooks import webhook_url

INQUIRY = "/services/inquiry"
ROUTING = "/services/routing"
_STEP_EVENTS = (InquiryAccepted, InquiryReplied, DeadlineBreached, InquiryReopened, InquiryClosed)


@dataclass(frozen=True, slots=True)
class CaseStep:
    """Something that happened to a case; `cause` is the event that told it.

    `by_inquiry`: the case's own service tells it, so that inquiry.received has come before.
    """

    inquiry: str
    cause: str
    name: str
    at: dt.datetime
    by_inquiry: bool


@dataclass(frozen=True, slots=True)
class DecidedStep:
    """What was decided for a step; while the contact has not come, every lane waits that it may name."""

    step: CaseStep
    decision: notices.NoticeDecision
    lanes: tuple[Lane, ...]


def build_handlers(keyring: Keyring, *, plain_http: bool) -> Handlers:
    """The handlers of publisher; `keyring` seals contact points; `plain_http`: webhooks may use it."""
    handlers = Handlers()

    @handlers.on(ContactStated)
    async def keep(tx: Tx, events: list[IncomingEvent[ContactStated]]) -> None:
        await _keep_contacts(tx, events, keyring, plain_http)

    # Of ten cases nine leave no contact: what is told of them is skipped before anything is locked.
    handlers.on(InquiryReceived, accepts=lambda event: event.data.has_contact)(_received)
    handlers.on(CaseDispatched, accepts=lambda event: event.data.notify)(_step_reported)
    handlers.on(AssignmentSigned, accepts=lambda event: event.data.notify)(_signed)
    handlers.on(InquiryErased)(_erased)
    for data_type in _STEP_EVENTS:
        handlers.on(data_type)(_step_reported)
    return handlers


async def _keep_contacts(
    tx: Tx, events: Sequence[IncomingEvent[ContactStated]], keyring: Keyring, plain_http: bool
) -> None:
    mails: dict[str, Sealed] = {}
    hooks: dict[str, Sealed] = {}
    for event in events:
        contact = event.data
        address = email_address(contact.email or "")
        if address is not None:
            mails[event.subject] = keyring.seal(address, event.subject)
        url = webhook_url(contact.webhook or "", plain_http=plain_http)
        if url is not None and contact.webhook_secret is not None:
            hooks[event.subject] = keyring.seal(
                SealedWebhook(url, contact.webhook_secret).packed(), event.subject
            )
    await tx.connection.execute(
        QUERIES["keep_contacts"],
        [event.subject for event in events],
        [event.data.number for event in events],
        [event.data.language for event in events],
        [_part(mails.get(event.subject), "box") for event in events],
        [_part(mails.get(event.subject), "wrapped_key") for event in events],
        [_part(hooks.get(event.subject), "box") for event in events],
        [_part(hooks.get(event.subject), "wrapped_key") for event in events],
    )
    await tx.connection.execute(
        QUERIES["release_waiting_notices"],
        [*mails, *hooks],
        [*("email" for _ in mails), *("webhook" for _ in hooks)],
        machine_now(),
    )
    await tx.connection.execute(QUERIES["drop_waiting_notices"], [event.subject for event in events])


async def _received(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> None:
    await tx.connection.execute(
        QUERIES["want_notices"],
        [event.subject for event in events],
        [event.data.notify for event in events],
    )
    # Routing cannot know a case before us, but its topic may be read first.
    early = [event.subject for event in events if tx.last_ordinal(event.subject, ROUTING)]
    kept = await tx.connection.fetch(QUERIES["take_early_steps"], early) if early else []
    told = [_step(event) for event in events]
    told += [CaseStep(row["inquiry"], row["cause"], row["step"], row["at"], by_inquiry=False) for row in kept]
    await _decide(tx, told, received={event.subject for event in events})


async def _step_reported(tx: Tx, events: list[IncomingEvent[Any]]) -> None:
    await _decide(tx, [_step(event) for event in events])


async def _signed(tx: Tx, events: list[IncomingEvent[AssignmentSigned]]) -> None:
    # A co-handler's signature changes nothing that the citizen waits for.
    await _decide(tx, [_step(event) for event in events if event.data.role == "lead"])


async def _erased(tx: Tx, events: list[IncomingEvent[InquiryErased]]) -> None:
    cases = [event.subject for event in events]
    await tx.connection.execute(QUERIES["erase_contacts"], cases)
    await tx.connection.execute(QUERIES["drop_open_notices"], cases)
    await tx.connection.execute(QUERIES["take_early_steps"], cases)


async def _decide(tx: Tx, steps: Sequence[CaseStep], received: Iterable[str] = ()) -> None:
    """Decides for each step; `received` are cases whose inquiry.received is being applied just now."""
    if not steps:
        return
    rows = await tx.connection.fetch(QUERIES["contacts_of"], sorted({step.inquiry for step in steps}))
    contacts = {row["inquiry"]: row for row in rows}
    now_received = frozenset(received)
    decided: list[DecidedStep] = []
    for step in steps:
        contact = contacts.get(step.inquiry)
        named = tuple(lane for lane in notices.LANES if contact and contact[lane])
        decision = notices.decide_notice(
            received=(
                step.by_inquiry or step.inquiry in now_received or tx.last_ordinal(step.inquiry, INQUIRY) > 0
            ),
            wanted=contact["wanted"] if contact else None,
            stated=bool(contact and contact["stated"]),
            reachable=bool(named),
            erased=bool(contact and contact["erased"]),
        )
        decided.append(DecidedStep(step, decision, named if decision == "send" else notices.LANES))
    await _store(tx, decided)


async def _store(tx: Tx, decided: Sequence[DecidedStep]) -> None:
    kept = [each.step for each in decided if each.decision == "keep"]
    if kept:
        await tx.connection.execute(
            QUERIES["insert_early_steps"],
            [step.inquiry for step in kept],
            [step.cause for step in kept],
            [step.name for step in kept],
            [step.at for step in kept],
        )
    told = [
        (each.step, "pending" if each.decision == "send" else "waiting", lane)
        for each in decided
        if each.decision in ("send", "wait")
        for lane in each.lanes
    ]
    if told:
        await tx.connection.execute(
            QUERIES["insert_notices"],
            [derived_id(step.cause, "notice", lane) for step, _, lane in told],
            [lane for _, _, lane in told],
            [step.inquiry for step, _, _ in told],
            [step.name for step, _, _ in told],
            [step.at for step, _, _ in told],
            [state for _, state, _ in told],
            machine_now(),
        )
    for decision, count in Counter(each.decision for each in decided).items():
        NOTICES_DECIDED.labels(decision).inc(count)


def _step(event: IncomingEvent[EventData]) -> CaseStep:
    name = event.data.contract.family.removeprefix("civic.")
    at = event.event.effectivetime or event.effective
    return CaseStep(event.subject, event.id, name, at, by_inquiry=event.event.source == INQUIRY)


def _part(sealed: Sealed | None, name: str) -> bytes | None:
    return getattr(sealed, name) if sealed else None
