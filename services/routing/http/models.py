"""The bodies of the API's requests and answers. Docstrings here are published in its OpenAPI document."""

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.routing.domain.case_file import CaseFile, DisplayedState, State, displayed_state
from services.routing.domain.decisions import allowed
from services.routing.queries import DeskRow, TriageRow
from shared.contracts.base import UnitCode
from shared.contracts.inquiry import CaseKind, InquiryWords, Visibility
from shared.contracts.routing import Role, TriageReason

_HOLDS: frozenset[DisplayedState] = frozenset({"offered", "signed", "replied"})


class DispatchBody(BaseModel):
    """A dispatcher's decision: who leads (主办) and who helps (协办)."""

    model_config = ConfigDict(extra="forbid")

    lead: UnitCode
    co: Annotated[tuple[UnitCode, ...], Field(max_length=20)] = ()

    @model_validator(mode="after")
    def _roles_are_distinct(self) -> "DispatchBody":
        if self.lead in self.co or len(set(self.co)) != len(self.co):
            raise ValueError("a department stands twice in lead and co: name each once")
        return self


class Done(BaseModel):
    """What a write answers. `sequence` is the event's: pages take it as `?after=`."""

    id: str
    state: State
    allowed: list[str]
    event: str
    sequence: int


class ListedCase(BaseModel):
    """The part of a case that all lists show. `reply_day_count`: how days until `reply_due` are counted."""

    id: str
    number: str
    title: str | None
    kind: CaseKind
    service_code: str
    area: str | None
    visibility: Visibility
    urgent: bool
    reply_due: dt.datetime
    reply_day_count: str | None
    policy_version: str | None


class DeskItem(ListedCase):
    """A line of a unit's list."""

    state: State
    role: Role
    assignment: DisplayedState
    lead: str | None
    sign_due: dt.datetime | None
    reply_pending: bool
    reply_refused: str | None

    @classmethod
    def of(cls, row: DeskRow) -> "DeskItem":
        return cls(**row._asdict() | {"assignment": displayed_state(row.assignment, row.state)})


class TriageItem(ListedCase):
    """A line of the triage queue. `reason`: why no rule has placed it; `hint`: what somebody suggests."""

    reason: TriageReason
    hint: str | None
    since: dt.datetime
    attempt: int

    @classmethod
    def of(cls, row: TriageRow) -> "TriageItem":
        return cls(**row._asdict())


class AssignmentView(BaseModel):
    """A unit's part in a case."""

    unit: str
    role: Role
    state: DisplayedState
    attempt: int
    offered_at: dt.datetime
    signed_at: dt.datetime | None
    ended_at: dt.datetime | None
    reason: str | None
    note: str | None


class CaseView(BaseModel):
    """A case file. `allowed` is what the caller's unit may do now.

    `reply_refused`: the rule by which inquiry has refused the last reply, until the lead acts again.
    `words_hidden`: it is secret, and words and notes are null because this caller may not read them.
    """

    id: str
    number: str | None
    state: State
    kind: CaseKind | None
    service_code: str | None
    area: str | None
    visibility: Visibility | None
    urgent: bool
    words: InquiryWords | None
    words_hidden: bool
    received_at: dt.datetime | None
    reply_due: dt.datetime | None
    reply_day_count: str | None
    sign_due: dt.datetime | None
    lead: str | None
    rule: str | None
    triage_reason: TriageReason | None
    hint: str | None
    attempt: int
    cycle: int
    reply_pending: bool
    reply_refused: str | None
    policy_version: str | None
    assignments: list[AssignmentView]
    allowed: list[str]

    def held_by(self, unit: str) -> bool:
        """Whether the unit has a part in the case now."""
        return any(one.unit == unit and one.state in _HOLDS for one in self.assignments)

    @classmethod
    def of(
        cls, file: CaseFile, words: InquiryWords | None, unit: str | None, *, readable: bool
    ) -> "CaseView":
        """The file as shown to `unit`, or to a caller without one; `readable`: with words and notes."""
        own = {name: getattr(file, name) for name in cls.model_fields if hasattr(file, name)}
        own["assignments"] = [
            AssignmentView(
                **{name: getattr(one, name) for name in AssignmentView.model_fields}
                | {"state": displayed_state(one.state, file.state), "note": one.note if readable else None}
            )
            for one in file.assignments
        ]
        return cls(
            **own,
            words=words if readable else None,
            words_hidden=not readable,
            reply_pending=file.proposal is not None,
            allowed=list(allowed(file, unit)) if unit else [],
        )


class Listed(BaseModel):
    """A page of a unit's list; `next` is the cursor of the following one."""

    items: list[DeskItem]
    next: str | None


class Triage(BaseModel):
    """A page of the triage queue, longest waiting first; `total` counts all of it."""

    items: list[TriageItem]
    next: str | None
    total: int


class Unit(BaseModel):
    """A department (承办单位). `kafka`: it has topics of its own; the others use the desk."""

    code: str
    name: str
    name_en: str | None
    kind: str
    kafka: bool


class Units(BaseModel):
    """All departments of the pack in force."""

    policy_version: str
    items: list[Unit]


class Explanation(BaseModel):
    """Why the catalogue sends a case where it does, or why it cannot."""

    policy_version: str
    service_code: str
    area: str | None
    on: dt.date
    lead: str | None = None
    co: list[str] = []
    rule: str | None = None
    source: str | None = None
    reason: str
