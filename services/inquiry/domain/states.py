"""The lifecycle of a case (工单) as tables: which states there are, what may be asked in each, what
routing's facts do. Grows by rows towards the full lifecycle of 受理 to 评价."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Stage(StrEnum):
    """How far inquiry itself has brought the case."""

    UNKNOWN = "unknown"
    """Routing has mentioned it; we have not received it (yet)."""
    RECEIVED = "received"
    ACCEPTED = "accepted"
    REPLIED = "replied"
    CLOSED = "closed"


class Holding(StrEnum):
    """What routing says about the lead (主办)."""

    NONE = "none"
    DISPATCHED = "dispatched"
    SIGNED = "signed"


class State(StrEnum):
    """What everybody is shown."""

    UNKNOWN = "unknown"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    DISPATCHED = "dispatched"
    IN_PROGRESS = "in_progress"
    REPLIED = "replied"
    CLOSED = "closed"


_OPEN = {
    Holding.NONE: State.ACCEPTED,
    Holding.DISPATCHED: State.DISPATCHED,
    Holding.SIGNED: State.IN_PROGRESS,
}
STATE: Mapping[tuple[Stage, Holding], State] = {
    (stage, holding): _OPEN[holding] if stage is Stage.ACCEPTED else State(stage)
    for stage in Stage
    for holding in Holding
}
"""The state that follows from both parts. Who holds a case shows only while it is being worked on."""

PARTS: Mapping[State, tuple[Stage, tuple[Holding, ...]]] = {
    state: (
        next(stage for stage, holding in STATE if STATE[stage, holding] is state),
        tuple(holding for stage, holding in STATE if STATE[stage, holding] is state),
    )
    for state in State
}
"""The parts that make a state, for lists."""


class Command(StrEnum):
    """What can be asked of inquiry."""

    ACCEPT = "accept"
    REPLY = "reply"
    EVALUATE = "evaluate"
    REOPEN = "reopen"
    ERASE = "erase"


class Rule(NamedTuple):
    """In which states a command is allowed; `name` is what a refusal names."""

    states: frozenset[State]
    name: str


KNOWN = frozenset(State) - {State.UNKNOWN}
RULES: Mapping[Command, Rule] = {
    Command.ACCEPT: Rule(frozenset({State.RECEIVED}), "accepted_once_from_received"),
    Command.REPLY: Rule(frozenset({State.DISPATCHED, State.IN_PROGRESS}), "reply_to_a_dispatched_case"),
    Command.EVALUATE: Rule(frozenset({State.REPLIED}), "evaluate_after_the_reply"),
    Command.REOPEN: Rule(frozenset({State.CLOSED}), "reopen_after_closing"),
    Command.ERASE: Rule(KNOWN, "erase_a_known_case"),
}


class RoutingFact(StrEnum):
    """What routing's facts mean for who holds the case."""

    DISPATCHED = "dispatched"
    TRIAGED = "triaged"
    LEAD_SIGNED = "lead_signed"
    CO_SIGNED = "co_signed"
    LEAD_RETURNED = "lead_returned"
    CO_RETURNED = "co_returned"


HOLDING: Mapping[tuple[Holding, RoutingFact], Holding] = {
    **{(holding, RoutingFact.DISPATCHED): Holding.DISPATCHED for holding in Holding},
    **{(holding, RoutingFact.TRIAGED): Holding.NONE for holding in Holding},
    **{(holding, RoutingFact.LEAD_SIGNED): Holding.SIGNED for holding in Holding},
    **{(holding, RoutingFact.LEAD_RETURNED): Holding.NONE for holding in Holding},
    # A co-handler (协办) changes nothing about the lead.
    **{(holding, RoutingFact.CO_SIGNED): holding for holding in Holding},
    **{(holding, RoutingFact.CO_RETURNED): holding for holding in Holding},
}
"""A foreign fact is never refused: routing has decided, whatever we thought."""
