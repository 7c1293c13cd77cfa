"""Events of inquiry: the case (工单), its clocks and its end. `subject` is the inquiry id."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import (
    Code,
    Digest,
    EventData,
    Identifier,
    Moment,
    Text,
    UnitCode,
    Words,
    contract,
)
from shared.contracts.common import DeadLetterDiscarded, DeadLetterRecorded, RequestRefused, WaitEnded

CaseKind = Literal["consult", "help", "complaint", "report", "suggestion"]
"""诉求类型: 咨询, 求助, 投诉, 举报, 建议."""
Visibility = Literal["public", "withheld", "secret"]
"""Who may read the words. public: anybody. withheld: not the public. secret (保密): only those who need them
for the case, as each service's `domain/visibility.py` decides. Name and contact are never public."""
Channel = Literal["web", "api", "open311", "phone", "wechat", "import"]
ReplyOutcome = Literal["solved", "partly", "explained", "not_possible", "not_ours"]

Title = Annotated[Text, Field(min_length=1, max_length=200)]
LongText = Annotated[Text, Field(min_length=1, max_length=20_000)]
PlaceText = Annotated[Text, Field(max_length=500)]


class InquiryWords(Words):
    title: Title
    text: LongText
    place: PlaceText | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None


class ReplyWords(Words):
    text: LongText


class NoteWords(Words):
    text: LongText


class Deadline(EventData):
    """When the reply is due (答复时限), recomputable by anybody from the policy version."""

    due: Moment
    day_zero: Moment
    amount: int
    day_count: str


class Evaluation(EventData):
    """评价: was the citizen contacted, is it solved, how satisfied (5 = very)."""

    contacted: bool | None = None
    solved: Literal["yes", "partly", "no"]
    rating: Annotated[int, Field(ge=1, le=5)]


@contract("civic.inquiry.received.v1", writer="inquiry", words=InquiryWords)
class InquiryReceived(EventData):
    """A concern is taken in (受理登记). With `deadline` it was accepted by rule in the same act."""

    number: Text
    kind: CaseKind
    service_code: Code
    area: Code | None = None
    visibility: Visibility = "public"
    channel: Channel
    urgent: bool = False
    secret_hash: Digest
    has_contact: bool = False
    deadline: Deadline | None = None
    external_source: Code | None = None
    external_id: Code | None = None
    original_time: Moment | None = None
    hint: UnitCode | None = None
    notify: bool = True


@contract("civic.inquiry.accepted.v1", writer="inquiry")
class InquiryAccepted(EventData):
    """A clerk accepts what the rules did not (受理)."""

    deadline: Deadline


@contract("civic.inquiry.deadline_warned.v1", writer="inquiry")
class DeadlineWarned(EventData):
    """A mark of the reply clock is reached (预警)."""

    percent: int
    due: Moment
    cycle: int


@contract("civic.inquiry.deadline_breached.v1", writer="inquiry")
class DeadlineBreached(EventData):
    """No reply in time (超期): declared a grace period after due."""

    due: Moment
    cycle: int


@contract("civic.inquiry.breach_withdrawn.v1", writer="inquiry")
class BreachWithdrawn(EventData):
    """A reply that was in time arrived after the breach was declared."""

    due: Moment
    replied_at: Moment
    cycle: int


@contract("civic.inquiry.replied.v1", writer="inquiry", words=ReplyWords)
class InquiryReplied(EventData):
    """The lead's reply is the government's answer (答复). `causationid` is the proposal."""

    unit: UnitCode
    outcome: ReplyOutcome
    cycle: int
    on_time: bool
    evaluate_until: Moment


@contract("civic.inquiry.closed.v1", writer="inquiry", words=NoteWords)
class InquiryClosed(EventData):
    """办结. `unsolved`: the citizen says no, but no further round is left."""

    outcome: Literal["evaluated", "unsolved", "no_evaluation"]
    cycle: int
    evaluation: Evaluation | None = None


@contract("civic.inquiry.reopened.v1", writer="inquiry", words=NoteWords)
class InquiryReopened(EventData):
    """重办: not solved, or new facts; a new round with its own deadline."""

    cycle: int
    deadline: Deadline
    evaluation: Evaluation | None = None


@contract("civic.inquiry.erased.v1", writer="inquiry", is_erasure=True)
class InquiryErased(EventData):
    """Every service deletes its copy of the words and contacts; audit destroys the key."""

    basis: Literal["citizen_request", "retention", "court_order"]


@contract("civic.person.contact_read.v1", writer="inquiry", words=NoteWords)
class ContactRead(EventData):
    """An officer read a citizen's contact points, for a stated purpose; the words are the officer's own."""

    purpose: Literal["call_back", "clarify", "deliver", "oversight"]
    reader: Code


@contract("civic.inquiry.request_refused.v1", writer="inquiry")
class InquiryRequestRefused(RequestRefused):
    """inquiry refuses a request. `causationid` is the request."""


@contract("civic.inquiry.deadletter_recorded.v1", writer="inquiry")
class InquiryDeadLetter(DeadLetterRecorded):
    """An event could not be applied; its key waits for an operator."""


@contract("civic.inquiry.deadletter_discarded.v1", writer="inquiry")
class InquiryDeadLetterDiscarded(DeadLetterDiscarded):
    """An operator gave up a dead letter."""


@contract("civic.inquiry.wait_ended.v1", writer="inquiry", words=NoteWords)
class InquiryWaitEnded(WaitEnded):
    """An operator gave up what inquiry expected about a case."""


@contract(
    "civic.contact.stated.v1",
    writer="inquiry",
    kind="contact",
    topic="contact",
    redacted_fields=("name", "email", "phone", "webhook", "webhook_secret"),
)
class ContactStated(EventData):
    """Where the citizen wants to hear of this case. The only event with direct identifiers.

    `webhook_secret` signs what goes to `webhook`; the two come together.
    """

    name: Annotated[Text, Field(max_length=200)] | None = None
    email: Annotated[Text, Field(max_length=254)] | None = None
    phone: Annotated[Text, Field(max_length=40)] | None = None
    language: Literal["zh", "en", "nl"] = "zh"
    number: Text
    inquiry: Identifier
    webhook: Annotated[Text, Field(max_length=2_000)] | None = None
    webhook_secret: Annotated[Text, Field(pattern=r"^whsec_[A-Za-z0-9+/]{43}=$")] | None = None
