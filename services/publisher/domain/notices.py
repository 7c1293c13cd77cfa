"""The steps of a case that its citizen is notified of, the lanes, and the decision for each step."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from shared.contracts.publisher import Lane

# The step's name is the event's family without `civic.`; its texts are `mail.step.<name>.*`.
STEPS = (
    "inquiry.received",
    "inquiry.accepted",
    "case.dispatched",
    "assignment.signed",
    "inquiry.replied",
    "inquiry.deadline_breached",
    "inquiry.reopened",
    "inquiry.closed",
)
LANES: tuple[Lane, ...] = ("email", "webhook")
NoticeDecision = Literal["send", "wait", "keep", "none"]
"""What happens with a step.

send: the contact and its lanes are known. wait: the contact will come. keep: there is a contact, but
inquiry.received, which says whether its citizen wants notices, has not come. none: no notice.
"""


@dataclass(frozen=True, slots=True)
class CaseStep:
    """Something that happened to a case; `cause` is the id of the event that reported it.

    `announces_contact`: its event says that the citizen of the case wants notices.
    """

    inquiry: str
    cause: str
    name: str
    at: dt.datetime
    announces_contact: bool


def decide_notice(
    *, announced: bool, wanted: bool | None, stated: bool, reachable: bool, erased: bool
) -> NoticeDecision:
    """Whether a step leads to a notice.

    `announced`: something says that the case has a contact; `wanted`: whether inquiry.received asked for
    notices (None: it has not come, or has no contact); `stated`: contact.stated was applied; `reachable`: it
    names a usable lane; `erased`: the case is erased.
    """
    if erased:
        return "none"
    if wanted is None:
        return "keep" if announced else "none"
    if not wanted:
        return "none"
    if not stated:
        return "wait"
    return "send" if reachable else "none"
