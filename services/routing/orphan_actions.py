"""Actions that belong to no case: refused by a timer, in the unit's own name.

They are about a case that nobody knows, or they are no actions: malformed, or of an unknown type. The latter
come as the facts `Unfit`, standing in for what cannot be read (`shared.inbox.resolving`), and never block
their key.

The refusal's subject is the unit. Locking the unit for every action would put each into a round of its own,
so that a unit's thousand actions would be a thousand rounds; a timer locks it once for all that came.
"""

from collections.abc import Sequence

from services.routing import queries
from services.routing.domain.decisions import Acting, Refusal, refuse
from services.routing.policy import Policies
from services.routing.queries import StrayAction
from shared.contracts.base import Contract, Event, EventData, NoWords
from shared.contracts.routing import ReplyAction, ReturnAction, SignAction
from shared.decision import TimerSpec
from shared.errors import Permanent, UnknownVersion
from shared.events.decoding import peek_field
from shared.kafka.records import RawRecord
from shared.kafka.topics import code_of
from shared.unit_of_work.timers import FiredTimer, Timers
from shared.unit_of_work.transaction import Tx

KIND = "refuse_strays"
_ACTIONS = {facts.contract.type: facts.contract for facts in (SignAction, ReplyAction, ReturnAction)}


class Unfit(EventData):
    """What a unit sent that is no action: the id that it has there, the rule against it, what is wrong."""

    action: str
    rule: str
    detail: str


# Of this process alone, hence in no registry: no type on a topic leads to it.
Unfit.contract = Contract(
    Unfit, NoWords, "civic.action.unfit.v1", "routing", "actions", "action", Event[Unfit].model_validate_json
)


def unfit(record: RawRecord, fault: Permanent | None) -> Unfit | None:
    """Takes what units send that is no action; None for what has no id, or waits for an upgrade."""
    action = peek_field(record, "id") if code_of(record.topic) is not None else None
    if action is None:
        return None
    if isinstance(fault, UnknownVersion) and fault.family in {each.family for each in _ACTIONS.values()}:
        return None
    event_type = peek_field(record, "type")
    if fault is not None and (event_type is None or event_type in _ACTIONS):
        return Unfit(action=action, rule="malformed", detail=str(fault))
    return Unfit(action=action, rule="unknown_type", detail=f"type: must be one of {', '.join(_ACTIONS)}")


async def refuse_later(tx: Tx, strays: Sequence[StrayAction]) -> None:
    """Keeps them, and wakes the timer of each unit."""
    if not strays:
        return
    await queries.add_stray_actions(tx.connection, strays)
    for unit in {stray.unit for stray in strays}:
        tx.schedule(unit, TimerSpec(KIND, tx.now))


def register(timers: Timers, policies: Policies) -> None:
    """The timer that says the refusals."""

    @timers.on(KIND)
    async def say_refusals(tx: Tx, fired: list[FiredTimer]) -> None:
        taken = await queries.take_stray_actions(tx.connection, [each.aggregate for each in fired])
        for stray in taken:
            acting = Acting(stray.unit, stray.action, policies.current.department_has_topic(stray.unit))
            last = None
            for said in refuse(acting, Refusal("unknown", stray.rule, detail=stray.detail)):
                emitted = tx.emit(
                    said.facts,
                    subject=stray.unit,
                    actor=f"unit:{stray.unit}",
                    effective=stray.received_at,
                    unit=said.unit,
                    causation=last,
                )
                last = emitted.id
