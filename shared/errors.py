"""The tree of our errors.

CivicloomError
├── Permanent            the event can never be applied: it becomes a dead letter at once
│   ├── Undecodable      the bytes are no event
│   ├── UnknownVersion   a known type in a major version that this release does not know
│   └── EventTooLarge    the event is larger than the broker accepts
├── PolicyError          (shared.policy.errors) a policy pack is unusable
├── LogError             (services.audit.log.errors) the log or its files are damaged
├── DeliveryError        (services.publisher.push.errors) something prevents a delivery
├── SignInNeeded         (shared.web.callers) a page needs a signed-in person: the browser is sent to /login
├── DatabaseAway         a command's database does not answer
├── Conflict             the state does not allow a command (HTTP 409)
│   └── Refused          (shared.decision) a rule forbids it
└── Stale                the authority to write is lost (cursor moved, partition revoked): stop without effect
"""


class CivicloomError(Exception):
    """Base of all errors that this project raises by name."""


class Permanent(CivicloomError):
    """A retry cannot succeed."""


class Undecodable(Permanent):
    """The bytes are no event, or not a valid one of its type."""


class UnknownVersion(Permanent):
    """A major version of a known type that this release does not know; an upgrade helps."""

    def __init__(self, event_type: str) -> None:
        super().__init__(
            f"{event_type} has a major version that this release does not know: upgrade, then replay"
        )
        self.family = event_type.rpartition(".")[0]


class EventTooLarge(Permanent):
    """An event above 900 kB: the broker would refuse it, and block the producer's partition forever."""


class DatabaseAway(CivicloomError):
    """The database that a command needs does not answer, or its URL is wrong."""


class Conflict(CivicloomError):
    """The aggregate exists already, or its state does not allow the command."""


class Stale(CivicloomError):
    """Another replica owns the row or partition that this one was about to write."""
