"""A concern (诉求) before it is a case, and what may be wrong with it by the pack."""

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from shared.contracts.inquiry import CaseKind, Channel, InquiryWords, Visibility
from shared.policy.model import Pack


@dataclass(frozen=True, slots=True)
class Contact:
    """Where the citizen wants to hear of the case. `webhook` is passed on and not kept here."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    language: str = "zh"
    webhook: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether there is something by which a person is reached."""
        return bool(self.name or self.email or self.phone)


@dataclass(frozen=True, slots=True)
class Concern:
    """What intake takes. An import names where it comes from, its original time, a `hint` for dispatch
    (the unit that the source names), and sends no notices."""

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


_NO_SERVICE = "no such service: GET /api/inquiry/v1/services lists the codes"


class Flaw(NamedTuple):
    """What is wrong with one member: a stable code, a sentence, and what may help."""

    member: str
    code: str
    detail: str


def flaws_of(concern: Concern, pack: Pack, *, offered_only: bool = True) -> list[Flaw]:
    """What the pack does not know of the concern; `offered_only` also refuses services no longer offered."""
    found: list[Flaw] = []
    service = pack.services_by_code.get(concern.service_code)
    if service is None:
        found.append(
            Flaw(
                "service_code",
                "unknown_service",
                _NO_SERVICE,
            )
        )
    elif offered_only and not service.active:
        found.append(
            Flaw("service_code", "not_offered", "this service is no longer offered: choose another one")
        )
    if concern.kind not in pack.kinds_by_code:
        kinds = ", ".join(sorted(pack.kinds_by_code))
        found.append(Flaw("kind", "unknown_kind", f"this place knows the kinds {kinds}"))
    if concern.area is not None and concern.area not in pack.areas_by_code:
        areas = ", ".join(sorted(pack.areas_by_code))
        hint = f"this place knows the areas {areas}" if areas else "this place has no areas: leave it out"
        found.append(Flaw("area", "unknown_area", hint))
    return found
