"""The request bodies of the API, the forms of the pages, and how they become concerns."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.inquiry.domain.concern import Concern, Contact
from shared.contracts import inquiry as contract
from shared.contracts.base import Text
from shared.contracts.inquiry import CaseKind, Channel, InquiryWords, PlaceText, Visibility
from shared.policy.model import Pack


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Title = Annotated[contract.Title, AfterValidator(_says_something)]
LongText = Annotated[contract.LongText, AfterValidator(_says_something)]
Code = Annotated[Text, Field(min_length=1, max_length=64)]
Name = Annotated[Text, Field(max_length=200)]
# Only refuses what cannot be an address: whether it exists, its mail server decides.
Email = Annotated[Text, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
Phone = Annotated[Text, Field(max_length=40, pattern=r"^\+?[0-9][0-9 ()./-]{3,}$")]
Webhook = Annotated[
    Text,
    Field(
        max_length=2_000,
        description="An https address that gets each step of the case, signed with `webhook_secret`.",
    ),
]
Comment = Annotated[Text, Field(max_length=20_000)]
Solved = Literal["yes", "partly", "no"]
Rating = Annotated[int, Field(ge=1, le=5)]
Purpose = Literal["call_back", "clarify", "deliver"]
"""The contract's purposes that are open to clerks and officers: oversight reads no contact."""


class Body(BaseModel):
    """Refuses unknown members: they are nearly always misspelt, and their value would be lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewContact(Body):
    name: Name | None = None
    email: Email | None = None
    phone: Phone | None = None
    language: Literal["zh", "en", "nl"] | None = None
    webhook: Webhook | None = None


class NewInquiry(Body):
    """A concern. Without `kind` it gets the usual kind of its service."""

    title: Title
    text: LongText
    service_code: Code
    kind: CaseKind | None = None
    area: Code | None = None
    place: PlaceText | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    contact: NewContact | None = None
    visibility: Visibility = "public"
    urgent: bool = False

    @model_validator(mode="after")
    def _both_coordinates(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude go together")
        return self

    def concern(self, pack: Pack, channel: Channel) -> Concern:
        """The concern as intake takes it. Codes are not checked here: `flaws_of` does that."""
        service = pack.services_by_code.get(self.service_code)
        kind = self.kind or (service.kind if service else "help")
        words = InquiryWords(
            title=self.title,
            text=self.text,
            place=self.place,
            latitude=self.latitude,
            longitude=self.longitude,
        )
        return Concern(
            words,
            kind,  # type: ignore[arg-type]  # a pack's own kind is checked by flaws_of
            self.service_code,
            channel,
            self.area,
            self.visibility,
            self.urgent,
            _contact(self.contact, pack),
        )


class AskForm(Body):
    """The form at /ask. Flat, because a form has no nested members; in the order of the page, which is that
    of its error summary."""

    kind: CaseKind
    service_code: Code
    title: Title
    text: LongText
    urgent: Literal["yes"] | None = None
    place: PlaceText | None = None
    area: Code | None = None
    name: Name | None = None
    phone: Phone | None = None
    email: Email | None = None
    visibility: Visibility
    idempotency_key: Code

    def inquiry(self, language: Literal["zh", "en"]) -> NewInquiry:
        """The same as an API body. Notices will be in `language`, the one of the page."""
        reachable = self.name or self.email or self.phone
        return NewInquiry(
            title=self.title,
            text=self.text,
            kind=self.kind,
            service_code=self.service_code,
            area=self.area,
            place=self.place,
            visibility=self.visibility,
            urgent=self.urgent is not None,
            contact=NewContact(name=self.name, email=self.email, phone=self.phone, language=language)
            if reachable
            else None,
        )


class TrackForm(Body):
    number: Code
    secret: Code


class EvaluationBody(Body):
    """`secret` here, or in the header `X-Case-Secret`."""

    solved: Solved
    rating: Rating
    contacted: bool | None = None
    comment: Comment | None = None
    secret: Code | None = None


class ReopenBody(Body):
    """`comment` describes what is new or not solved."""

    comment: LongText
    secret: Code | None = None


class ErasureBody(Body):
    basis: Literal["citizen_request", "retention", "court_order"] = "citizen_request"
    secret: Code | None = None


class EvaluationForm(Body):
    solved: Solved
    rating: Rating
    contacted: Literal["yes", "no"] | None = None
    comment: Comment | None = None
    idempotency_key: Code


class ReopenForm(Body):
    comment: LongText
    idempotency_key: Code


class ErasureForm(Body):
    sure: Literal["yes"]
    idempotency_key: Code


class ContactBody(Body):
    """The purpose for which a member of staff reads the contact points: of the API and of the form."""

    purpose: Purpose
    note: Annotated[Text, Field(max_length=500)] | None = None


class AcceptForm(Body):
    idempotency_key: Code


def _contact(contact: NewContact | None, pack: Pack) -> Contact | None:
    if contact is None or not (contact.name or contact.email or contact.phone or contact.webhook):
        return None
    language = contact.language or pack.language.partition("-")[0]
    return Contact(contact.name, contact.email, contact.phone, language, contact.webhook)
