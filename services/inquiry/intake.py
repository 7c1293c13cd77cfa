"""Intake (受理登记): concerns become cases, each with one event and, if accepted by rule, a running clock.

The same way for a form, the API, an import and the bench: one transaction, one statement per table.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from services.inquiry.domain.case import Alarm, Case
from services.inquiry.domain.clock import ReplyClock, first_clock
from services.inquiry.domain.concern import Concern, Contact
from services.inquiry.domain.decisions import clock_timer
from services.inquiry.domain.states import Stage
from services.inquiry.queries import QUERIES
from shared.contracts.inquiry import ContactStated, Deadline, InquiryReceived
from shared.decision import TimerSpec
from shared.ids import case_number, case_secret, new_id, secret_hash
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.transaction import Emitted, Tx
from shared.webhooks import webhook_secret

CONTACT_SOURCE = "/services/inquiry/contacts"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a concern. `value` is the event exactly as committed: the receipt.

    `fresh` is False for a row of an import that was taken before.
    """

    id: str
    number: str
    value: bytes
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class _Beginning:
    """How cases of one kind, service and urgency begin at one moment."""

    stage: Stage
    policy_version: str | None = None
    clock: ReplyClock | None = None
    stated: Deadline | None = None
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class _New:
    id: str
    number: str
    secret_hash: str
    concern: Concern
    beginning: _Beginning


class Intake:
    """Takes concerns in under the pack in force; `key` makes the secrets."""

    def __init__(self, policies: Packs, key: bytes) -> None:
        self._policies = policies
        self._key = key

    def secret(self, inquiry: str) -> str:
        """The secret of a case whose id was made here: derived again whenever it is asked for."""
        return case_secret(self._key, inquiry)

    def webhook_secret(self, inquiry: str) -> str:
        """What the case's webhook is signed with: derived as well, under a label that makes it another."""
        return webhook_secret(self._key, f"webhook {inquiry}")

    async def take_in(self, tx: Tx, concerns: Sequence[Concern], *, actor: str = "citizen") -> list[Taken]:
        """Takes in concerns that have no flaws, in order; ids are made here, nothing has to be locked.

        An (external_source, external_id) that is known already gives the case that it became, as does one
        that stands twice in `concerns`. Raises CalendarRange for a deadline beyond the calendar, and
        EventTooLarge.
        """
        pack = self._policies.current
        found = await _taken_before(tx, concerns)
        beginnings: dict[tuple[str, str, bool], _Beginning] = {}
        taken: list[Taken] = []
        new: list[_New] = []
        emitted: list[Emitted] = []
        for concern in concerns:
            place = _place(concern)
            if place is not None and place in found:
                taken.append(found[place])
                continue
            like = (concern.kind, concern.service_code, concern.urgent)
            if like not in beginnings:
                beginnings[like] = _begin(pack, concern, tx.now)
            one = self._new(pack, concern, tx.now, beginnings[like])
            tx.create([one.id])
            received = _received(tx, pack, one, actor)
            if concern.contact is not None:
                self._state_contact(tx, one, concern.contact)
            new.append(one)
            emitted.append(received)
            taken.append(Taken(one.id, one.number, received.value))
            if place is not None:
                found[place] = Taken(one.id, one.number, received.value, fresh=False)
            if alarm := one.beginning.alarm:
                tx.schedule(one.id, TimerSpec(alarm.kind, alarm.due, alarm.data, alarm.is_deadline_check))
        if new:
            await _store(tx, new, emitted)
        return taken

    def _new(self, pack: Pack, concern: Concern, now: dt.datetime, beginning: _Beginning) -> _New:
        id_ = new_id(now)
        number = case_number(id_, pack.calendar.tz)
        return _New(id_, number, secret_hash(self.secret(id_)), concern, beginning)

    def _state_contact(self, tx: Tx, new: _New, contact: Contact) -> None:
        facts = ContactStated(
            name=contact.name,
            email=contact.email,
            phone=contact.phone,
            language=contact.language,
            number=new.number,
            inquiry=new.id,
            webhook=contact.webhook,
            webhook_secret=self.webhook_secret(new.id) if contact.webhook else None,
        )
        # A source of its own: this event is never logged, and must leave no gap in the sequence that is.
        tx.emit(facts, subject=new.id, source=CONTACT_SOURCE)


def _begin(pack: Pack, concern: Concern, now: dt.datetime) -> _Beginning:
    if pack.kind(concern.kind).acceptance == "clerk":
        return _Beginning(Stage.RECEIVED)
    clock = first_clock(pack, concern.kind, concern.service_code, concern.urgent, now)
    case = Case("", Stage.ACCEPTED, concern.kind, concern.service_code, concern.urgent, clock=clock)
    alarm = clock_timer(case, pack, after=0)
    return _Beginning(Stage.ACCEPTED, pack.version, clock, clock.stated(pack), alarm)


def _received(tx: Tx, pack: Pack, new: _New, actor: str) -> Emitted:
    concern = new.concern
    facts = InquiryReceived(
        number=new.number,
        kind=concern.kind,
        service_code=concern.service_code,
        area=concern.area,
        visibility=concern.visibility,
        channel=concern.channel,
        urgent=concern.urgent,
        secret_hash=new.secret_hash,
        has_contact=concern.contact is not None,
        deadline=new.beginning.stated,
        external_source=concern.external_source,
        external_id=concern.external_id,
        original_time=concern.original_time,
        hint=concern.hint,
        notify=concern.notify,
    )
    return tx.emit(
        facts,
        subject=new.id,
        words=concern.words,
        actor=actor,
        policy=pack.version,
        jurisdiction=pack.jurisdiction,
    )


def _place(concern: Concern) -> tuple[str, str] | None:
    if concern.external_source is None or concern.external_id is None:
        return None
    return concern.external_source, concern.external_id


async def _taken_before(tx: Tx, concerns: Sequence[Concern]) -> dict[tuple[str, str], Taken]:
    places = [place for concern in concerns if (place := _place(concern)) is not None]
    if not places:
        return {}
    rows = await tx.connection.fetch(
        QUERIES["find_external"], [source for source, _ in places], [id_ for _, id_ in places]
    )
    return {
        (row["external_source"], row["external_id"]): Taken(
            row["id"], orjson.loads(row["value"])["data"]["number"], row["value"], fresh=False
        )
        for row in rows
    }


async def _store(tx: Tx, new: Sequence[_New], emitted: Sequence[Emitted]) -> None:
    concerns = [one.concern for one in new]
    clocks: list[ReplyClock | None] = [one.beginning.clock for one in new]
    ids = [one.id for one in new]
    connection = tx.connection
    await connection.execute(
        QUERIES["insert_received"],
        ids,
        [one.number for one in new],
        [one.secret_hash for one in new],
        [concern.kind for concern in concerns],
        [concern.service_code for concern in concerns],
        [concern.area for concern in concerns],
        [concern.visibility for concern in concerns],
        [concern.channel for concern in concerns],
        [concern.urgent for concern in concerns],
        [concern.external_source for concern in concerns],
        [concern.external_id for concern in concerns],
        [concern.original_time for concern in concerns],
        tx.now,
        [one.beginning.stage for one in new],
        [one.beginning.policy_version for one in new],
        [clock and clock.start for clock in clocks],
        [clock and clock.due for clock in clocks],
        [clock and clock.day_zero for clock in clocks],
        [clock and clock.amount for clock in clocks],
        [clock and clock.day_count for clock in clocks],
    )
    await connection.execute(
        QUERIES["insert_values"], ids, [one.value for one in emitted], [one.words for one in emitted]
    )
    reachable = [
        (one.id, contact) for one in new if (contact := one.concern.contact) is not None and contact.is_kept
    ]
    if reachable:
        await connection.execute(
            QUERIES["insert_contacts"],
            [id_ for id_, _ in reachable],
            [contact.name for _, contact in reachable],
            [contact.email for _, contact in reachable],
            [contact.phone for _, contact in reachable],
            [contact.language for _, contact in reachable],
        )
