"""The handlers of a service: a table from event type to handler."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.contracts.base import Contract, EventData
from shared.errors import Permanent, UnknownVersion
from shared.events.decoding import IncomingEvent
from shared.kafka.records import RawRecord
from shared.unit_of_work.expectations import Kind
from shared.unit_of_work.transaction import Tx

_NAME_LENGTH, _DETAIL_LENGTH = 200, 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one event could not be applied: its key is parked, and if permanent the event is a dead letter.

    Name and detail are cut and cleaned, so that tables and events can hold whatever an error says.
    """

    error: str
    detail: str
    permanent: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", _storable(self.error)[:_NAME_LENGTH] or "Fault")
        object.__setattr__(self, "detail", _storable(self.detail)[:_DETAIL_LENGTH])

    @classmethod
    def of(cls, error: Exception) -> "Fault":
        """The fault that an error is. A newer version is not permanent: it waits for an upgrade."""
        permanent = isinstance(error, Permanent) and not isinstance(error, UnknownVersion)
        return cls(type(error).__name__, str(error), permanent)


def _storable(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Refused:
    """The event is applied and what it asked for is refused: one of its sender's bad records."""


Result = Fault | Refused | None
Results = Sequence[Result] | None
"""One result per event, in order. None for an event, or instead of the list, means applied."""
Run = Callable[[Tx, list[IncomingEvent[Any]]], Awaitable[Results]]
Locks = Callable[[IncomingEvent[Any]], Iterable[str]]
Accepts = Callable[[Mapping[str, Any]], bool]
"""Takes the `data` of an event as it is in the value, not validated."""
OnUnhandled = Callable[[RawRecord, Permanent | None], EventData | None]
"""Takes a record that is no event for the service, and the error (None: its type has no handler). Returns
data of a handled type, to handle in its place, or None: the record is then skipped or becomes a dead letter.
"""
D = TypeVar("D", bound=EventData)


def accept_all(_: Mapping[str, Any]) -> bool:
    """The default: every event of the type is handled."""
    return True


def no_substitute(record: RawRecord, fault: Permanent | None) -> EventData | None:  # noqa: ARG001
    """The default for records that are no events for the service: nothing is handled in their place."""
    return None


def subject_only(event: IncomingEvent[Any]) -> Iterable[str]:
    """The default: an event changes its own subject and nothing else."""
    return (event.subject,)


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered handler. `locks` names the aggregates that an event changes; they are locked beforehand.

    An event that is not accepted is skipped like an unknown type: it is not validated, nothing is locked, and
    its sequence is not remembered. `fulfils` is the expectation that an event of the type ends.
    """

    contract: Contract
    locks: Locks
    run: Run
    accepts: Accepts = accept_all
    fulfils: Kind | None = None


class Handlers:
    """The handlers of one service, by event type.

    Parameters
    ----------
    on_unhandled
        Called for records without a handler and for bytes that are no event; see `OnUnhandled`.
    """

    def __init__(self, on_unhandled: OnUnhandled = no_substitute) -> None:
        self.on_unhandled = on_unhandled
        self._by_type: dict[str, Handler] = {}

    def on(
        self,
        data_type: type[D],
        locks: Locks = subject_only,
        *,
        accepts: Accepts = accept_all,
        fulfils: Kind | None = None,
    ) -> Callable[[Callable[[Tx, list[IncomingEvent[D]]], Awaitable[Results]]], Run]:
        """Registers the decorated function for the events of one type.

        The function takes the unit of work and a list of events, in which no two lock the same aggregate. It
        returns a Fault or None per event. An error that it raises rolls back the events that it was given.

        Parameters
        ----------
        data_type
            The contract class of the type.
        locks
            Returns every aggregate that an event changes; the subject is always locked.
        accepts
            Decides from the `data` of the value, which is not validated yet, whether an event matters; if
            not, it is skipped.
        fulfils
            What an event of the type ends the wait for. One that comes behind later events of its sequence,
            since it was lost and sent again, is applied while its subject still waits. The handler has to
            fulfil the expectation, or the event is applied as often as it comes.

        Returns
        -------
        Callable
            A decorator that returns the function.

        Raises
        ------
        ValueError
            If the type has a handler already (from the decorator).
        """

        def register(run: Callable[[Tx, list[IncomingEvent[D]]], Awaitable[Results]]) -> Run:
            event_type = data_type.contract.type
            if event_type in self._by_type:
                raise ValueError(f"{event_type} has a handler already")
            self._by_type[event_type] = Handler(data_type.contract, locks, run, accepts, fulfils)
            return run

        return register

    def get(self, event_type: str) -> Handler | None:
        """The handler of a type with its version, or None."""
        return self._by_type.get(event_type)

    def __getitem__(self, event_type: str) -> Handler:
        """The handler of a type with its version. Raises KeyError."""
        return self._by_type[event_type]

    @property
    def families(self) -> frozenset[str]:
        """The handled types without their major versions."""
        return frozenset(handler.contract.family for handler in self._by_type.values())
