"""Commands on a case from people: load, decide, store and emit in one transaction, answered once per key."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.inquiry.domain.case import Case, Decision, Refusal
from services.inquiry.domain.concern import Concern, Contact
from services.inquiry.domain.decisions import (
    Basis,
    accept,
    erase,
    evaluate,
    open_to_staff,
    open_to_the_citizen,
    reopen,
)
from services.inquiry.domain.states import Stage
from services.inquiry.effects import Outcome, carry_out
from services.inquiry.intake import Intake
from services.inquiry.intake_batcher import IntakeBatcher
from services.inquiry.queries import QUERIES, load_cases
from services.inquiry.queries import erase as erase_rows
from shared.contracts.inquiry import ContactRead, Evaluation, NoteWords
from shared.errors import Conflict
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request
from shared.unit_of_work.transaction import Tx

Decide = Callable[[Case, Pack, dt.datetime], Decision | Refusal]
CITIZEN = "citizen"
"""The actor of what is done with the secret of a case."""


class Refused(Conflict):
    """The rules do not allow it in the case's present state; `allowed` is what they allow whoever asked."""

    def __init__(self, refusal: Refusal, allowed: list[str]) -> None:
        super().__init__(f"{refusal.rule}: the case is {refusal.state}")
        self.refusal = refusal
        self.allowed = allowed


class NoSuchCase(Conflict):
    """There is no case of this id."""


class NotYours(Conflict):
    """The unit does not lead the case or help with it (any more)."""


@dataclass(frozen=True, slots=True)
class CaseCommands:
    """What people do with cases."""

    database: Database
    policies: Packs
    intake: Intake
    batcher: IntakeBatcher

    async def receive(self, request: Request, concern: Concern, actor: str) -> bytes:
        """Takes a concern in, once per key: the event as committed.

        Raises KeyReused, CalendarRange and EventTooLarge.
        """
        return await self.batcher.receive(request, concern, actor)

    async def accept(self, request: Request, inquiry: str, actor: str) -> Answer:
        """受理 by a clerk, under the pack in force now. All commands raise Refused, NoSuchCase, KeyReused."""
        return await self._command(request, inquiry, actor, accept)

    async def evaluate(
        self, request: Request, inquiry: str, evaluation: Evaluation, comment: str | None
    ) -> Answer:
        """评价 by the citizen: closes or reopens."""

        def decide(case: Case, pack: Pack, now: dt.datetime) -> Decision | Refusal:
            return evaluate(case, pack, evaluation, comment, now)

        return await self._command(request, inquiry, CITIZEN, decide)

    async def reopen(self, request: Request, inquiry: str, comment: str) -> Answer:
        """重办 asked for by the citizen after closing."""

        def decide(case: Case, pack: Pack, now: dt.datetime) -> Decision | Refusal:
            return reopen(case, pack, comment, now)

        return await self._command(request, inquiry, CITIZEN, decide)

    async def erase(self, request: Request, inquiry: str, basis: Basis, actor: str) -> Answer:
        """Nulls words and contact here, and tells every service to do the same."""

        def decide(case: Case, _: Pack, now: dt.datetime) -> Decision | Refusal:
            return erase(case, basis, now)

        return await self._command(request, inquiry, actor, decide, also=erase_rows)

    async def read_contact(
        self, inquiry: str, purpose: str, reader: str, unit: str | None = None, note: str | None = None
    ) -> Contact | None:
        """The contact, if there is one; that it was read is an event in the same transaction.

        `note` is the reader's own word on the purpose. With `unit` that unit must hold the case now: raises
        NotYours. Raises NoSuchCase.
        """
        async with self.database.transaction([inquiry]) as tx:
            case = await self._case(tx, inquiry)
            if unit is not None and not case.held_by(unit):
                raise NotYours(f"{unit} does not hold the case")
            row = await tx.connection.fetchrow(QUERIES["read_contact"], inquiry)
            if row is None:
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
        return Contact(row["name"], row["email"], row["phone"], row["language"])

    async def _command(
        self,
        request: Request,
        inquiry: str,
        actor: str,
        decide: Decide,
        also: Callable[[Tx, str], Awaitable[None]] | None = None,
    ) -> Answer:
        async with self.database.transaction([inquiry]) as tx:
            earlier = await request.earlier_answer(tx)
            if earlier is not None:
                return earlier
            case = await self._case(tx, inquiry)
            pack = await self.policies.find(tx.connection, case.policy_version)
            decision = decide(case, pack, tx.now)
            if isinstance(decision, Refusal):
                citizen = actor == CITIZEN
                allowed = open_to_the_citizen(case, pack, tx.now) if citizen else open_to_staff(case, tx.now)
                raise Refused(decision, allowed)
            emitted = await carry_out(tx, [Outcome(decision, pack, actor, tx.now)])
            if also is not None:
                await also(tx, inquiry)
            answer = Answer(
                200,
                {
                    "id": inquiry,
                    "state": decision.case.state,
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
