"""Events of publisher: publications and their approval, subscriptions, pushes and notices."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import Code, Digest, EventData, Identifier, Moment, Text, Words, contract
from shared.contracts.common import DeadLetterDiscarded, DeadLetterRecorded, WaitEnded
from shared.contracts.inquiry import LongText, NoteWords, Title

Lane = Literal["email", "webhook"]


class PublicationWords(Words):
    title: Title
    summary: Annotated[Text, Field(max_length=1_000)] = ""
    body: LongText


@contract("civic.publication.drafted.v1", writer="publisher", words=PublicationWords)
class PublicationDrafted(EventData):
    """A draft, or a new state of it. `subject` is the publication id."""

    version: int
    topics: tuple[Code, ...] = ()
    document_number: Text | None = None
    effective_from: Moment | None = None
    editor: Code


@contract("civic.publication.approved.v1", writer="publisher")
class PublicationApproved(EventData):
    """A second person approved this very version."""

    version: int
    approver: Code


@contract("civic.publication.published.v1", writer="publisher")
class PublicationPublished(EventData):
    """It is published: on the pages, in the feeds, on its way to subscribers."""

    version: int
    topics: tuple[Code, ...] = ()
    publisher: Code


@contract("civic.publication.withdrawn.v1", writer="publisher", words=NoteWords)
class PublicationWithdrawn(EventData):
    """It is no longer shown as in force. The words are the reason, as the public reads it."""

    version: int
    by: Code


@contract("civic.subscription.confirmed.v1", writer="publisher")
class SubscriptionConfirmed(EventData):
    """Consent by double opt-in (e-mail) or by the echoed challenge (webhook). `subject`: subscription id."""

    lane: Lane
    topics: tuple[Code, ...] = ()


@contract("civic.subscription.ended.v1", writer="publisher")
class SubscriptionEnded(EventData):
    """The person left, or the address is gone."""

    lane: Lane
    reason: Literal["asked", "gone", "failing"]


@contract("civic.push.batch_started.v1", writer="publisher")
class PushBatchStarted(EventData):
    """A publication goes to its subscribers: one event for all, not one each."""

    version: int
    recipients: dict[Lane, int]


@contract("civic.push.batch_closed.v1", writer="publisher")
class PushBatchClosed(EventData):
    """Every recipient has an outcome; `ledger_root`: RFC 6962 root over the ledger rows in their order."""

    version: int
    sent: int
    failed: int
    ledger_root: Digest


@contract("civic.push.notice_sent.v1", writer="publisher")
class NoticeSent(EventData):
    """The citizen was notified of a step of the case. `subject` is the inquiry id."""

    notice: Identifier
    lane: Lane
    step: Code
    attempts: int


@contract("civic.push.notice_failed.v1", writer="publisher")
class NoticeFailed(EventData):
    """The citizen could not be notified by this lane."""

    notice: Identifier
    lane: Lane
    step: Code
    attempts: int
    reason: Code


@contract("civic.publisher.request_refused.v1", writer="publisher")
class PublisherRequestRefused(EventData):
    """publisher refuses a request. `causationid` is the request."""

    state: Text
    rule: Text
    allowed: tuple[Text, ...] = ()


@contract("civic.publisher.deadletter_recorded.v1", writer="publisher")
class PublisherDeadLetter(DeadLetterRecorded):
    """An event could not be applied; its key waits for an operator."""


@contract("civic.publisher.deadletter_discarded.v1", writer="publisher")
class PublisherDeadLetterDiscarded(DeadLetterDiscarded):
    """An operator gave up a dead letter."""


@contract("civic.publisher.wait_ended.v1", writer="publisher", words=NoteWords)
class PublisherWaitEnded(WaitEnded):
    """An operator gave up what publisher expected about a case."""
