"""Commands of people on one case: load, decide, store and emit in one transaction, answered once per key."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from services.inquiry.domain.case import Case, CaseDecision
from services.inquiry.domain.concern import Contact
from services.inquiry.domain.decisions import (
    Basis,
    accept,
    allowed_to_citizen,
    allowed_to_staff,
    erase,
    evaluate,
    reopen,
)
from services.inquiry.domain.states import Stage
from services.inquiry.effects import Effect, carry_out
from services.inquiry.queries import erase_words_and_contact, load_cases, read_contact
from shared.contracts.inquiry import ContactRead, Evaluation, NoteWords
from shared.decision import Refusal, Refused
from shared.errors import CivicloomError
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request
from shared.unit_of_work.transaction import Connection, Tx

Decide = Callable[[Case, Pack, dt.datetime], CaseDecision | Refusal]
CITIZEN = "citizen"
"""The actor of everything that is done with the secret of a case."""


class NoSuchCase(CivicloomError):
    """No case of this id has been received."""


class NotYours(CivicloomError):
    """The unit neither leads the case nor helps with it now."""


@dataclass(frozen=True, slots=True)
class CaseCommands:
    """The commands. Except `read_contact`, all raise Refused, NoSuchCase, KeyReused, and Conflict for a key
    whose first request is not finished."""

    database: Database
    policies: Packs

    async def accept(self, request: Request, inquiry: str, actor: str) -> Answer:
        """受理 by a clerk, under the pack in force. Also raises CalendarRange."""
        return await self._command(request, inquiry, actor, accept)

    async def evaluate(
        self, request: Request, inquiry: str, evaluation: Evaluation, comment: str | None
    ) -> Answer:
        """评价 by the citizen: closes or reopens the case."""

        def decide(case: Case, pack: Pack, now: dt.datetime) -> CaseDecision | Refusal:
            return evaluate(case, pack, evaluation, comment, now)

        return await self._command(request, inquiry, CITIZEN, decide)

    async def reopen(self, request: Request, inquiry: str, comment: str) -> Answer:
        """重办, requested by the citizen after closing."""

        def decide(case: Case, pack: Pack, now: dt.datetime) -> CaseDecision | Refusal:
            return reopen(case, pack, comment, now)

        return await self._command(request, inquiry, CITIZEN, decide)

    async def erase(self, request: Request, inquiry: str, basis: Basis, actor: str) -> Answer:
        """Nulls words and contact here; the event makes every other service do the same."""

        def decide(case: Case, _: Pack, now: dt.datetime) -> CaseDecision | Refusal:
            return erase(case, basis, now)

        return await self._command(request, inquiry, actor, decide, also=erase_words_and_contact)

    async def read_contact(
        self, inquiry: str, purpose: str, reader: str, unit: str | None = None, note: str | None = None
    ) -> Contact | None:
        """The contact, if there is one. The reading becomes an event in the same transaction.

        `note` is the reader's own text about the purpose. With `unit`, that unit must hold the case now:
        raises NotYours. Raises NoSuchCase.
        """
        async with self.database.transaction([inquiry]) as tx:
            case = await self._case(tx, inquiry)
            if unit is not None and not case.held_by(unit):
                raise NotYours(f"{unit} does not hold the case")
            contact = await read_contact(tx.connection, inquiry)
            if contact is None:
                return None
            pack = await self.policies.find(tx.connection, case.policy_version)
            tx.emit(
                ContactRead.model_validate({"purpose": purpose, "reader": reader}),
                subject=inquiry,
                words=NoteWords(text=note) if note else None,
                actor=reader,
                policy=pack.version,
                jurisdiction=pack.jurisdiction,
            )
        return contact

    async def _command(
        self,
        request: Request,
        inquiry: str,
        actor: str,
        decide: Decide,
        also: Callable[[Connection, str], Awaitable[None]] | None = None,
    ) -> Answer:
        async with self.database.transaction([inquiry]) as tx:
            earlier = await request.earlier_answer(tx)
            if earlier is not None:
                return earlier
            case = await self._case(tx, inquiry)
            pack = await self.policies.find(tx.connection, case.policy_version)
            decision = decide(case, pack, tx.now)
            if isinstance(decision, Refusal):
                is_citizen = actor == CITIZEN
                allowed = (
                    allowed_to_citizen(case, pack, tx.now) if is_citizen else allowed_to_staff(case, tx.now)
                )
                raise Refused(replace(decision, allowed=tuple(allowed)))
            emitted = await carry_out(tx, [Effect(decision, pack, actor, tx.now)])
            if also is not None:
                await also(tx.connection, inquiry)
            answer = Answer(
                200,
                {
                    "id": inquiry,
                    "state": decision.state.state,
                    "sequence": emitted[-1].sequence,
                    "event_id": emitted[-1].id,
                },
            )
            await request.remember(tx, answer)
        return answer

    async def _case(self, tx: Tx, inquiry: str) -> Case:
        case = (await load_cases(tx.connection, [inquiry]))[inquiry]
        if case.stage is Stage.UNKNOWN:
            raise NoSuchCase(inquiry)
        return case
