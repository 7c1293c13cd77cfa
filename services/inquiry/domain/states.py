"""The lifecycle of a case (工单) from 受理 to 评价, as tables.

The states, the commands allowed in each, and the effect of routing's facts.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Stage(StrEnum):
    """The part of the state that inquiry decides."""

    UNKNOWN = "unknown"
    """Routing has mentioned the case; inquiry has not received it (yet)."""
    RECEIVED = "received"
    ACCEPTED = "accepted"
    REPLIED = "replied"
    CLOSED = "closed"


class Holding(StrEnum):
    """The part of the state that routing decides: how far the lead (主办) is."""

    NONE = "none"
    DISPATCHED = "dispatched"
    SIGNED = "signed"


class State(StrEnum):
    """The displayed state."""

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
"""The displayed state of each pair of parts. The holding shows only while the case is being worked on."""

PARTS: Mapping[State, tuple[Stage, tuple[Holding, ...]]] = {
    state: (
        next(stage for stage, holding in STATE if STATE[stage, holding] is state),
        tuple(holding for stage, holding in STATE if STATE[stage, holding] is state),
    )
    for state in State
}
"""The parts that make a displayed state, for filtering lists."""


class Command(StrEnum):
    """The commands that inquiry decides on."""

    ACCEPT = "accept"
    REPLY = "reply"
    EVALUATE = "evaluate"
    REOPEN = "reopen"
    ERASE = "erase"


class Rule(NamedTuple):
    """The states in which a command is allowed; `name` identifies the rule in a refusal."""

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
    """The events of routing, by their effect on the holding of a case."""

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
"""Complete, because a fact of routing is never refused: it has happened, whatever the state here."""
