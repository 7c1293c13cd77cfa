"""Intake (受理登记): concerns become cases, each with one event and, if accepted by rule, a running clock.

The form, the API, the import and the benchmark all use `take_in`: one transaction, one statement per table.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from services.inquiry.domain.concern import Concern, Contact, ExternalKey
from services.inquiry.domain.new_case import Beginning, NewCase, begin
from services.inquiry.domain.states import Stage
from services.inquiry.queries import find_known_rows, insert_cases, insert_contacts, insert_receipts
from shared.contracts.inquiry import ContactStated
from shared.ids import case_number, case_secret, new_id, secret_hash
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.transaction import Emitted, Tx
from shared.webhooks import webhook_secret

CONTACT_SOURCE = "/services/inquiry/contacts"


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """The case that a concern became. `value` is the event exactly as committed: the receipt.

    `is_new` is False for a row of an import that was taken in before.
    """

    id: str
    number: str
    value: bytes
    is_new: bool = True


class Intake:
    """Takes concerns in under the pack in force.

    `policies` give that pack; secrets of cases and webhooks are derived from `key`.
    """

    def __init__(self, policies: Packs, key: bytes) -> None:
        self._policies = policies
        self._key = key

    def secret(self, inquiry: str) -> str:
        """The secret of a case whose id was made here. It is stored nowhere and derived each time."""
        return case_secret(self._key, inquiry)

    def webhook_secret(self, inquiry: str) -> str:
        """The signing secret of the case's webhook: derived too, under a label that makes it another."""
        return webhook_secret(self._key, f"webhook {inquiry}")

    async def take_in(
        self, tx: Tx, concerns: Sequence[Concern], *, actor: str = "citizen"
    ) -> list[IntakeResult]:
        """Takes in concerns without flaws, in order. Ids are made here, so nothing has to be locked.

        An external key that is known, from earlier or from this very list, gives the case that it became.
        Raises CalendarRange for a deadline beyond the calendar, and EventTooLarge.
        """
        pack = self._policies.current
        keys = [key for concern in concerns if (key := concern.external_key) is not None]
        known: dict[ExternalKey, IntakeResult] = {
            row.external_key: IntakeResult(row.id, row.number, row.value, is_new=False)
            for row in await find_known_rows(tx.connection, keys)
        }
        beginnings: dict[tuple[str, str, bool], Beginning] = {}
        results: list[IntakeResult] = []
        cases: list[NewCase] = []
        receipts: list[Emitted] = []
        for concern in concerns:
            key = concern.external_key
            if key is not None and key in known:
                results.append(known[key])
                continue
            like = (concern.kind, concern.service_code, concern.urgent)
            if like not in beginnings:
                beginnings[like] = begin(pack, concern, tx.now)
            case = self._new_case(pack, concern, tx.now, beginnings[like])
            receipt = self._emit(tx, pack, case, actor)
            cases.append(case)
            receipts.append(receipt)
            results.append(IntakeResult(case.id, case.number, receipt.value))
            if key is not None:
                known[key] = IntakeResult(case.id, case.number, receipt.value, is_new=False)
        if cases:
            await _store(tx, cases, receipts)
        return results

    def _new_case(self, pack: Pack, concern: Concern, now: dt.datetime, beginning: Beginning) -> NewCase:
        id_ = new_id(now)
        number = case_number(id_, pack.calendar.tz)
        return NewCase(id_, number, secret_hash(self.secret(id_)), concern, beginning)

    def _emit(self, tx: Tx, pack: Pack, case: NewCase, actor: str) -> Emitted:
        tx.create([case.id])
        receipt = tx.emit(
            case.received(),
            subject=case.id,
            words=case.concern.words,
            actor=actor,
            policy=pack.version,
            jurisdiction=pack.jurisdiction,
        )
        if case.concern.contact is not None:
            self._emit_contact(tx, case, case.concern.contact)
        if case.beginning.stage is Stage.ACCEPTED:
            tx.expect(case.id, "dispatch")
        if case.beginning.timer is not None:
            tx.schedule(case.id, case.beginning.timer)
        return receipt

    def _emit_contact(self, tx: Tx, case: NewCase, contact: Contact) -> None:
        stated = ContactStated(
            name=contact.name,
            email=contact.email,
            phone=contact.phone,
            language=contact.language,
            number=case.number,
            inquiry=case.id,
            webhook=contact.webhook,
            webhook_secret=self.webhook_secret(case.id) if contact.webhook else None,
        )
        # A source of its own: this event is never logged, and must not leave a gap in the logged sequence.
        tx.emit(stated, subject=case.id, source=CONTACT_SOURCE)


async def _store(tx: Tx, cases: Sequence[NewCase], receipts: Sequence[Emitted]) -> None:
    await insert_cases(tx.connection, cases, tx.now)
    await insert_receipts(
        tx.connection,
        [(case.id, receipt.value, receipt.words) for case, receipt in zip(cases, receipts, strict=True)],
    )
    contacts = [(case.id, contact) for case in cases if (contact := case.concern.contact) is not None]
    await insert_contacts(tx.connection, [(id_, contact) for id_, contact in contacts if contact.is_kept])
