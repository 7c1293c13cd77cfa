"""Event types that every service has, each registered under the service's own name."""

from shared.contracts.base import Code, EventData, Moment, Text, UnitCode


class RequestRefused(EventData):
    """A request is against the rules of its owner: in which state, by which rule, and what is allowed.

    `causationid` is the request; `unit` and `action` name the department's action behind it, if there is one.
    """

    state: Text
    rule: Text
    allowed: tuple[Text, ...] = ()
    unit: UnitCode | None = None
    action: Code | None = None


class DeadLetterRecorded(EventData):
    """An event could not be applied; its key waits for an operator.

    Or several records could not be read: `records` of them, between `offset` and `last_offset`.
    """

    consumer: Code
    topic: Code
    partition: int
    offset: int
    last_offset: int | None = None
    records: int | None = None
    event_id: Text | None = None
    error: Code


class DeadLetterDiscarded(EventData):
    """An operator gave up a dead letter."""

    dead_letter: int
    operator: Code


class WaitEnded(EventData):
    """An operator gave up what another service had to say about the case. The words are the reason.

    `kind` is what was expected, `party` the unit of a delivery, `since` machine time. An intake that comes
    after all is still applied.
    """

    kind: Code
    party: UnitCode | None = None
    since: Moment
    operator: Code
