"""Orphan actions: records of units that belong to no case of theirs. A timer refuses them with the unit as
subject.

Either the unit has no part in the case, whether there is one or not, or the record is no valid action:
malformed, or of an unknown type. The latter reaches its handler as `InvalidAction`, in place of the record
that cannot be read, and never blocks its key.

Refusing them in the handler would lock the unit for each action and so put each into a round of its own: a
thousand actions of one unit would be a thousand rounds. The timer locks the unit once for all of them. To
have no part is answered and becomes no event; each other refusal is an entry of the public log, so
`shared.inbox.floods` bounds how many a unit may cause in a minute.
"""

from collections.abc import Sequence

from services.routing import queries
from services.routing.queries import OrphanAction
from shared.contracts.base import Contract, Event, EventData, NoWords
from shared.contracts.routing import ReplyAction, ReturnAction, SignAction
from shared.decision import TimerSpec
from shared.errors import Permanent, UnknownVersion
from shared.events.decoding import peek_field
from shared.kafka.records import RawRecord
from shared.kafka.topics import code_of
from shared.unit_of_work.transaction import Tx

REFUSE_ORPHANS = "refuse_strays"
"""The timer's kind; its aggregate is the unit. Stored in tables, hence the old name."""
NO_PART = "not_assigned"
"""The rule for a case that the unit has and had no part in, and for one that does not exist."""
_ACTIONS = {each.contract.type: each.contract for each in (SignAction, ReplyAction, ReturnAction)}


class InvalidAction(EventData):
    """A record that is no valid action: its id, the rule that refuses it, the fields that are wrong."""

    action: str
    rule: str
    detail: str


# Lives in this process alone, hence in no registry: no type on a topic leads to it.
InvalidAction.contract = Contract(
    InvalidAction,
    NoWords,
    "civic.action.invalid.v1",
    "routing",
    "actions",
    "action",
    Event[InvalidAction].model_validate_json,
)


def invalid_action(record: RawRecord, fault: Permanent | None) -> InvalidAction | None:
    """Resolves a record that no handler takes (`Handlers.on_unhandled`).

    None for a record that is not on a unit's topic, has no id to answer, or waits for an upgrade because its
    action type has a newer major version.
    """
    action = peek_field(record, "id") if code_of(record.topic) is not None else None
    if action is None:
        return None
    if isinstance(fault, UnknownVersion) and fault.family in {each.family for each in _ACTIONS.values()}:
        return None
    event_type = peek_field(record, "type")
    if fault is not None and (event_type is None or event_type in _ACTIONS):
        return InvalidAction(action=action, rule="malformed", detail=str(fault))
    detail = f"type: must be one of {', '.join(_ACTIONS)}"
    return InvalidAction(action=action, rule="unknown_type", detail=detail)


async def refuse_later(tx: Tx, orphans: Sequence[OrphanAction]) -> None:
    """Stores them and schedules the timer of each unit for now."""
    if not orphans:
        return
    await queries.add_orphan_actions(tx.connection, orphans)
    units = sorted({orphan.unit for orphan in orphans})
    # Without a lock, which every batch of every unit would wait for: the timer loop takes it.
    await tx.make_aggregates(units)
    for unit in units:
        tx.schedule(unit, TimerSpec(REFUSE_ORPHANS, tx.now))
