"""A concern (诉求) before it is a case, and the flaws that a pack finds in it."""

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from shared.contracts.inquiry import CaseKind, Channel, InquiryWords, Visibility
from shared.policy.model import Pack

ExternalKey = tuple[str, str]
"""A source outside Civicloom, and the id of a row in it."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How to reach the citizen about the case. `webhook` is passed on and not stored here."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    language: str = "zh"
    webhook: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it has anything to store: more than a webhook."""
        return bool(self.name or self.email or self.phone)


@dataclass(frozen=True, slots=True)
class Concern:
    """What intake takes in.

    An import also gives the external key, the time in the source system (`original_time`) and a `hint` for
    dispatch (the unit that the source names), and has `notify` off.
    """

    words: InquiryWords
    kind: CaseKind
    service_code: str
    channel: Channel
    area: str | None = None
    visibility: Visibility = "public"
    urgent: bool = False
    contact: Contact | None = None
    external_source: str | None = None
    external_id: str | None = None
    original_time: dt.datetime | None = None
    hint: str | None = None
    notify: bool = True

    @property
    def external_key(self) -> ExternalKey | None:
        """Source and id, for a concern that has both."""
        if self.external_source is None or self.external_id is None:
            return None
        return self.external_source, self.external_id


class Flaw(NamedTuple):
    """What is wrong with one member: a stable code, and a sentence that helps to correct it."""

    member: str
    code: str
    detail: str


def flaws_of(concern: Concern, pack: Pack, *, offered_only: bool = True) -> list[Flaw]:
    """The codes of the concern that the pack does not have; `offered_only` also refuses inactive services."""
    found: list[Flaw] = []
    service = pack.services_by_code.get(concern.service_code)
    if service is None:
        detail = "no such service: GET /api/inquiry/v1/services lists the codes"
        found.append(Flaw("service_code", "unknown_service", detail))
    elif offered_only and not service.active:
        detail = "this service is no longer offered: choose another one"
        found.append(Flaw("service_code", "not_offered", detail))
    if concern.kind not in pack.kinds_by_code:
        kinds = ", ".join(sorted(pack.kinds_by_code))
        found.append(Flaw("kind", "unknown_kind", f"this place knows the kinds {kinds}"))
    if concern.area is not None and concern.area not in pack.areas_by_code:
        areas = ", ".join(sorted(pack.areas_by_code))
        hint = f"this place knows the areas {areas}" if areas else "this place has no areas: leave it out"
        found.append(Flaw("area", "unknown_area", hint))
    return found
