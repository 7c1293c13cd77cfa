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

send: the contact and its lanes are known. wait: the contact will come. keep: inquiry.received has not come,
so it is not known whether there is a contact. none: no notice.
"""


@dataclass(frozen=True, slots=True)
class CaseStep:
    """Something that happened to a case; `cause` is the id of the event that reported it.

    `by_inquiry`: the inquiry service reported it, so that inquiry.received came before.
    """

    inquiry: str
    cause: str
    name: str
    at: dt.datetime
    by_inquiry: bool


def decide_notice(
    *, received: bool, wanted: bool | None, stated: bool, reachable: bool, erased: bool
) -> NoticeDecision:
    """Whether a step leads to a notice.

    `received`: inquiry.received was applied; `wanted`: whether it asked for notices (None: no contact);
    `stated`: contact.stated was applied; `reachable`: it names a usable lane; `erased`: the case is erased.
    """
    if erased:
        return "none"
    if not received:
        return "keep"
    if not wanted:
        return "none"
    if not stated:
        return "wait"
    return "send" if reachable else "none"
