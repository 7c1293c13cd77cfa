"""Events in: the steps of a case become notices to its citizen. Cases without contact are skipped."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from services.publisher.domain import notices
from services.publisher.domain.addresses import email_address
from services.publisher.domain.notices import CaseStep
from services.publisher.keyring import Keyring
from services.publisher.metrics import NOTICES_DECIDED
from services.publisher.queries import contacts, deliveries
from services.publisher.queries.contacts import StatedContact
from services.publisher.queries.deliveries import NewNotice
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
from shared.inbox.handlers import Handlers
from shared.unit_of_work.transaction import Tx
from shared.webhooks import webhook_url

INQUIRY = "/services/inquiry"
CONTACTS = "/services/inquiry/contacts"
ROUTING = "/services/routing"
_INQUIRY_STEPS = (InquiryAccepted, InquiryReplied, DeadlineBreached, InquiryReopened, InquiryClosed)


class DecidedStep(NamedTuple):
    """A step with its decision and lanes: those that the contact names, or all while it has not come."""

    step: CaseStep
    decision: notices.NoticeDecision
    lanes: tuple[Lane, ...]


def build_handlers(keyring: Keyring, *, plain_http: bool) -> Handlers:
    """The handlers of the publisher.

    `keyring` seals contact points; `plain_http` allows webhooks without TLS.
    """
    handlers = Handlers()

    @handlers.on(ContactStated)
    async def keep(tx: Tx, events: list[IncomingEvent[ContactStated]]) -> None:
        await _keep_contacts(tx, [_stated(event, keyring, plain_http) for event in events])

    # Nine of ten cases leave no contact: their events are skipped before anything is validated or locked.
    handlers.on(InquiryReceived, accepts=lambda data: bool(data.get("has_contact")), fulfils="intake")(
        _received
    )
    handlers.on(CaseDispatched, accepts=_with_notices)(_step_reported)
    handlers.on(AssignmentSigned, accepts=_with_notices)(_signed)
    handlers.on(InquiryErased)(_erased)
    for data_type in _INQUIRY_STEPS:
        handlers.on(data_type)(_step_reported)
    return handlers


def _with_notices(data: Mapping[str, Any]) -> bool:
    return bool(data.get("notify", True))


def _stated(event: IncomingEvent[ContactStated], keyring: Keyring, plain_http: bool) -> StatedContact:
    contact = event.data
    address = email_address(contact.email or "")
    url = webhook_url(contact.webhook or "", plain_http=plain_http)
    webhook = None
    if url is not None and contact.webhook_secret is not None:
        webhook = keyring.seal(SealedWebhook(url, contact.webhook_secret).to_text(), event.subject)
    return StatedContact(
        inquiry=event.subject,
        number=contact.number,
        language=contact.language,
        email=keyring.seal(address, event.subject) if address is not None else None,
        webhook=webhook,
    )


async def _keep_contacts(tx: Tx, stated: Sequence[StatedContact]) -> None:
    for case in await contacts.keep_contacts(tx, stated):
        tx.expect(case, "intake")
    named = [(contact.inquiry, lane) for contact in stated for lane in contact.lanes]
    await deliveries.release_waiting_notices(tx, named, machine_now())
    await deliveries.drop_waiting_notices(tx, [contact.inquiry for contact in stated])
    for contact in stated:
        tx.fulfil(contact.inquiry, "contact")


async def _received(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> None:
    await contacts.want_notices(tx, {event.subject: event.data.notify for event in events})
    # Routing cannot know a case before inquiry.received, but its topic may be read first; steps of inquiry
    # come first only if inquiry.received was lost and is sent again.
    early = [event.subject for event in events if _was_reported(tx, event.subject, ROUTING, INQUIRY)]
    for event in events:
        if _was_reported(tx, event.subject, ROUTING, INQUIRY, CONTACTS):
            tx.fulfil(event.subject, "intake")
    steps = [_step(event) for event in events] + await contacts.take_early_steps(tx, early)
    await _decide(tx, steps, received={event.subject for event in events})


def _was_reported(tx: Tx, case: str, *sources: str) -> bool:
    """Whether an event of one of these sources about the case was applied."""
    return any(tx.last_ordinal(case, source) for source in sources)


async def _step_reported(tx: Tx, events: list[IncomingEvent[Any]]) -> None:
    await _decide(tx, [_step(event) for event in events])


async def _signed(tx: Tx, events: list[IncomingEvent[AssignmentSigned]]) -> None:
    # A co-handler's signature changes nothing that the citizen waits for.
    await _decide(tx, [_step(event) for event in events if event.data.role == "lead"])


async def _erased(tx: Tx, events: list[IncomingEvent[InquiryErased]]) -> None:
    cases = [event.subject for event in events]
    await contacts.erase_contacts(tx, cases)
    await deliveries.drop_open_notices(tx, cases)
    for case in cases:
        tx.fulfil(case, "contact")
        tx.fulfil(case, "intake")
    await contacts.take_early_steps(tx, cases)


async def _decide(tx: Tx, steps: Sequence[CaseStep], received: Iterable[str] = ()) -> None:
    """Decides on a notice per step; `received` are the cases whose inquiry.received is in this batch."""
    if not steps:
        return
    known = await contacts.contacts_of(tx, sorted({step.inquiry for step in steps}))
    now_received = frozenset(received)
    for case in now_received & known.keys():
        if known[case].wanted and not known[case].stated and not known[case].erased:
            tx.expect(case, "contact")
    decided: list[DecidedStep] = []
    for step in steps:
        contact = known.get(step.inquiry)
        decision = notices.decide_notice(
            announced=contact is not None or step.announces_contact,
            wanted=contact.wanted if contact else None,
            stated=contact is not None and contact.stated,
            reachable=contact is not None and bool(contact.lanes),
            erased=contact is not None and contact.erased,
        )
        lanes = contact.lanes if contact and decision == "send" else notices.LANES
        decided.append(DecidedStep(step, decision, lanes))
    await _store(tx, decided)


async def _store(tx: Tx, decided: Sequence[DecidedStep]) -> None:
    await _keep_early(tx, [each.step for each in decided if each.decision == "keep"])
    due = [
        NewNotice(each.step, lane, "pending" if each.decision == "send" else "waiting")
        for each in decided
        if each.decision in ("send", "wait")
        for lane in each.lanes
    ]
    await deliveries.insert_notices(tx, due, machine_now())
    for decision, count in Counter(each.decision for each in decided).items():
        NOTICES_DECIDED.labels(decision).inc(count)


async def _keep_early(tx: Tx, steps: Sequence[CaseStep]) -> None:
    """Keeps steps until inquiry.received comes, and waits for it."""
    await contacts.insert_early_steps(tx, steps)
    await contacts.announce_contacts(tx, [step.inquiry for step in steps if step.announces_contact])
    for step in steps:
        tx.expect(step.inquiry, "intake")


def _step(event: IncomingEvent[EventData]) -> CaseStep:
    data = event.data
    name = data.contract.family.removeprefix("civic.")
    at = event.event.effectivetime or event.effective
    announces = isinstance(data, CaseDispatched | AssignmentSigned) and data.notify
    return CaseStep(event.subject, event.id, name, at, announces_contact=announces)
