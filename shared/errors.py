"""The tree of our errors, classified once, in the core.

CivicloomError
├── Permanent            the event can never be applied: dead letter at once
│   ├── Undecodable      bytes that are no event of ours
│   ├── UnknownVersion   a known type in a major version that this release does not know
│   └── EventTooLarge    an event above the bound that the broker takes
├── PolicyError          (shared.policy.errors) a pack that cannot be used
├── LogError             (services.audit.log.errors) something is wrong with the log
├── DeliveryError        (services.publisher.push.errors) something prevents a delivery
├── SignInNeeded         (shared.web.callers) a page needs a signed-in person: the browser is sent to /login
├── DatabaseAway         nobody answers at a command's database, or it is not what its URL says
├── Conflict             a command lost against the present state (HTTP 409)
└── Stale                our authority is gone (cursor moved, partition revoked, lock lost): stop, do nothing
"""


class CivicloomError(Exception):
    """Something that we name."""


class Permanent(CivicloomError):
    """No retry can help."""


class Undecodable(Permanent):
    """The bytes are not an event of ours."""


class UnknownVersion(Permanent):
    """A newer major version of a type that we know: an upgrade, not a discard, is what helps."""

    def __init__(self, event_type: str) -> None:
        super().__init__(
            f"{event_type} is of a major version that this release does not know: upgrade, then replay"
        )
        self.family = event_type.rpartition(".")[0]


class EventTooLarge(Permanent):
    """An event above 900 kB; the broker would refuse it and break the producer's partition for ever."""


class DatabaseAway(CivicloomError):
    """Nobody answers at the database that a command needs, or it is not what its URL says."""


class Conflict(CivicloomError):
    """The aggregate exists already or is in another state than the command needs."""


class Stale(CivicloomError):
    """Somebody else owns what we were about to write."""
