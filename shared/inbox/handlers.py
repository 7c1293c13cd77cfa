"""What a service does with the events that it reads: a table from type to handler."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.contracts.base import Contract, Event, EventData
from shared.errors import Permanent
from shared.events.decoding import IncomingEvent
from shared.kafka.records import RawRecord
from shared.unit_of_work.transaction import Tx


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one event could not be applied; it is parked with its key, or, if permanent, a dead letter."""

    error: str
    detail: str
    permanent: bool = False


Results = Sequence[Fault | None] | None
"""One result per event in order; None for an event, or for all, means applied."""
Run = Callable[[Tx, list[IncomingEvent[Any]]], Awaitable[Results]]
Locks = Callable[[IncomingEvent[Any]], Iterable[str]]
D = TypeVar("D", bound=EventData)


Accepts = Callable[[Event[Any]], bool]
OnUnhandled = Callable[[RawRecord, Permanent | None], EventData | None]
"""A record that is no event for the service, with what is wrong (None: a type without a handler) -> facts of
a handled type that stand in for it, or None: then it is skipped, parked or a dead letter as it deserves."""


def accept_all(_: Event[Any]) -> bool:
    """The usual case: all events of a type matter."""
    return True


def nothing(record: RawRecord, fault: Permanent | None) -> EventData | None:  # noqa: ARG001  (a OnUnhandled)
    """The usual case: what is no event stands for nothing else."""
    return None


def subject_only(event: IncomingEvent[Any]) -> Iterable[str]:
    """The usual case: an event changes its own subject."""
    return (event.subject,)


@dataclass(frozen=True, slots=True)
class Handler:
    """`locks` names every aggregate that the event changes; the slice locks them before anything.

    An event that does not concern the service is skipped like a type that it does not know: nothing is
    locked, and its place in the sequence is not remembered.
    """

    contract: Contract
    locks: Locks
    run: Run
    accepts: Accepts = accept_all


class Handlers:
    """The handlers of one service."""

    def __init__(self, on_unhandled: OnUnhandled = nothing) -> None:
        self.on_unhandled = on_unhandled
        self._by_type: dict[str, Handler] = {}

    def on(
        self, facts: type[D], locks: Locks = subject_only, *, accepts: Accepts = accept_all
    ) -> Callable[[Callable[[Tx, list[IncomingEvent[D]]], Awaitable[Results]]], Run]:
        """Registers a set-based handler: a list of events of at most one per aggregate, a result for each."""

        def register(run: Callable[[Tx, list[IncomingEvent[D]]], Awaitable[Results]]) -> Run:
            event_type = facts.contract.type
            if event_type in self._by_type:
                raise ValueError(f"{event_type} has a handler already")
            self._by_type[event_type] = Handler(facts.contract, locks, run, accepts)
            return run

        return register

    def get(self, event_type: str) -> Handler | None:
        return self._by_type.get(event_type)

    def __getitem__(self, event_type: str) -> Handler:
        return self._by_type[event_type]

    @property
    def families(self) -> frozenset[str]:
        """The handled types without their major versions."""
        return frozenset(handler.contract.family for handler in self._by_type.values())
