"""Event types that every service has, each registered under the service's own name."""

from shared.contracts.base import Code, EventData, Text, UnitCode


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
