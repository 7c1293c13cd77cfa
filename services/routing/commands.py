"""Commands over HTTP: one transaction each, answered once per Idempotency-Key."""

from dataclasses import dataclass
from typing import Any

from services.routing import queries
from services.routing.domain.case_file import CaseFile
from services.routing.domain.decisions import Action, ActionRequest, allowed, decide
from services.routing.domain.dispatch import dispatch_by_hand
from services.routing.effects import carry_out, load_case_files, refuse
from services.routing.metrics import REFUSALS
from shared.decision import Refusal
from shared.errors import CivicloomError
from shared.ids import new_id
from shared.packs import Packs
from shared.policy.model import Pack
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request
from shared.unit_of_work.transaction import Emitted, Tx


class NoSuchCase(CivicloomError):
    """No case file has this id."""


class NotYours(CivicloomError):
    """The unit has and had no part in the case, or there is no such case: it learns not which."""


class UnknownUnits(CivicloomError):
    """Units that the case's version of the pack does not have.

    `fields` maps the JSON pointer of each in the request to its code.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"there is no department {', '.join(sorted(fields.values()))}")
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a command comes from: the actor of its events, and the request under its key."""

    actor: str
    request: Request


class Commands:
    """Actions of units and decisions of dispatchers."""

    def __init__(self, database: Database, packs: Packs) -> None:
        self._database = database
        self._packs = packs

    async def act(self, sender: Sender, inquiry: str, unit: str, action: Action) -> Answer:
        """A unit signs, replies or returns: 200 with state and the event's sequence, or 409 with the rule.

        A refusal stays on the record like one over Kafka. Raises NotYours, and KeyReused or Conflict for the
        key; nothing is stored then.
        """
        async with self._database.transaction([inquiry]) as tx:
            if (earlier := await sender.request.earlier_answer(tx)) is not None:
                return earlier
            file = (await load_case_files(tx, self._packs, [inquiry])).get(inquiry)
            if file is None or file.assignment(unit) is None:
                REFUSALS.labels(unit, "no_part").inc()
                raise NotYours(unit)
            pack = self._packs.of(file.policy_version)
            request = ActionRequest(unit, new_id(tx.now), by_topic=False)
            decided = decide(file, request, action, tx.now)
            decision = (
                refuse(file, request, decided, pack, tx.now) if isinstance(decided, Refusal) else decided
            )
            after, emitted = carry_out(tx, decision, pack, actor=sender.actor)
            await queries.save(tx.connection, [after])
            if isinstance(decided, Refusal):
                answer = _refused(decided)
            else:
                answer = _done(after, emitted, allowed(after, unit))
            await sender.request.remember(tx, answer)
            return answer

    async def dispatch(self, sender: Sender, inquiry: str, lead: str, co: tuple[str, ...]) -> Answer:
        """A dispatcher dispatches a case in triage: 200, or 409 if it is not in triage.

        Raises UnknownUnits, NoSuchCase, and KeyReused or Conflict for the key.
        """
        async with self._database.transaction([inquiry]) as tx:
            if (earlier := await sender.request.earlier_answer(tx)) is not None:
                return earlier
            file = await self._case_file(tx, inquiry)
            pack = self._packs.of(file.policy_version)
            _check_units(pack, lead, co)
            words = (await queries.words(tx.connection, [inquiry])).get(inquiry)
            decided = dispatch_by_hand(file, words, pack, tx.now, lead=lead, co=co)
            if isinstance(decided, Refusal):
                answer = _refused(decided)
            else:
                after, emitted = carry_out(tx, decided, pack, actor=sender.actor)
                await queries.save(tx.connection, [after])
                answer = _done(after, emitted, ())
            await sender.request.remember(tx, answer)
            return answer

    async def _case_file(self, tx: Tx, inquiry: str) -> CaseFile:
        files = await load_case_files(tx, self._packs, [inquiry])
        if inquiry not in files:
            raise NoSuchCase(inquiry)
        return files[inquiry]


def _check_units(pack: Pack, lead: str, co: tuple[str, ...]) -> None:
    named = {"/lead": lead} | {f"/co/{number}": unit for number, unit in enumerate(co)}
    unknown = {field: unit for field, unit in named.items() if unit not in pack.departments_by_code}
    if unknown:
        raise UnknownUnits(unknown)


def _done(file: CaseFile, emitted: Emitted | None, may: tuple[str, ...]) -> Answer:
    body: dict[str, Any] = {"id": file.id, "state": file.state, "allowed": list(may)}
    if emitted is not None:
        body |= {"event": emitted.id, "sequence": emitted.sequence}
    return Answer(200, body)


def _refused(refused: Refusal) -> Answer:
    return Answer(409, {"state": refused.state, "rule": refused.rule, "allowed": list(refused.allowed)})
