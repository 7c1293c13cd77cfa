"""What people and machines ask over HTTP: one transaction each, with the answer kept under its key."""

from dataclasses import dataclass
from typing import Any

from services.routing import queries
from services.routing.domain.case_file import CaseFile
from services.routing.domain.decisions import Acting, Action, Refusal, allowed
from services.routing.domain.dispatch import BY_DISPATCHER, dispatch
from services.routing.effects import act, load_with_policies, say
from services.routing.policy import Policies, Policy
from shared.errors import CivicloomError
from shared.ids import new_id
from shared.policy.dispatch import Match
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import Answer, Request
from shared.unit_of_work.transaction import Emitted, Tx


class NoSuchCase(CivicloomError):
    """No case file has this id."""


class UnknownUnits(CivicloomError):
    """Departments that the case's version of the pack does not have; `fields` maps pointers to them."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"there is no department {', '.join(sorted(fields.values()))}")
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the event names them, and under which key."""

    actor: str
    request: Request


class Commands:
    """Actions of units and placements of dispatchers."""

    def __init__(self, database: Database, policies: Policies) -> None:
        self._database = database
        self._policies = policies

    async def act(self, caller: Caller, inquiry: str, unit: str, action: Action) -> Answer:
        """A unit signs, replies or returns: 200 with state and the event's sequence, or 409 with the rule.

        A refusal stands on the record like one over Kafka. Raises NoSuchCase, and KeyReused or Conflict
        for the key.
        """
        async with self._database.transaction([inquiry]) as tx:
            if (earlier := await caller.request.earlier_answer(tx)) is not None:
                return earlier
            file = await self._file(tx, inquiry)
            acting = Acting(unit, new_id(tx.now), by_topic=False)
            after, emitted, refused = act(tx, self._policies, file, acting, action, actor=caller.actor)
            await queries.save(tx.connection, [after])
            answer = _refused(refused) if refused else _done(after, emitted, allowed(after, unit))
            await caller.request.remember(tx, answer)
            return answer

    async def dispatch(self, caller: Caller, inquiry: str, lead: str, co: tuple[str, ...]) -> Answer:
        """A dispatcher places a case that is in triage: 200, or 409 if it is not there (any more).

        Raises UnknownUnits, NoSuchCase, and KeyReused or Conflict for the key.
        """
        async with self._database.transaction([inquiry]) as tx:
            if (earlier := await caller.request.earlier_answer(tx)) is not None:
                return earlier
            file = await self._file(tx, inquiry)
            policy = self._policies.of(file.policy_version)
            _check_units(policy, lead, co)
            if file.state != "triage":
                answer = _refused(Refusal(file.state, "not_in_triage"))
            else:
                words = (await queries.words(tx.connection, [inquiry])).get(inquiry)
                match = Match(lead, co, BY_DISPATCHER)
                outcome = dispatch(file, words, policy.pack, match, tx.now, by="dispatcher")
                after, emitted = say(tx, outcome, policy, actor=caller.actor)
                await queries.save(tx.connection, [after])
                answer = _done(after, emitted, ())
            await caller.request.remember(tx, answer)
            return answer

    async def _file(self, tx: Tx, inquiry: str) -> CaseFile:
        files = await load_with_policies(tx, self._policies, [inquiry])
        if inquiry not in files:
            raise NoSuchCase(inquiry)
        return files[inquiry]


def _check_units(policy: Policy, lead: str, co: tuple[str, ...]) -> None:
    named = {"/lead": lead} | {f"/co/{number}": unit for number, unit in enumerate(co)}
    unknown = {field: unit for field, unit in named.items() if unit not in policy.pack.departments_by_code}
    if unknown:
        raise UnknownUnits(unknown)


def _done(file: CaseFile, emitted: Emitted | None, may: tuple[str, ...]) -> Answer:
    body: dict[str, Any] = {"id": file.id, "state": file.state, "allowed": list(may)}
    if emitted is not None:
        body |= {"event": emitted.id, "sequence": emitted.sequence}
    return Answer(200, body)


def _refused(refused: Refusal) -> Answer:
    return Answer(409, {"state": refused.state, "rule": refused.rule, "allowed": list(refused.allowed)})
