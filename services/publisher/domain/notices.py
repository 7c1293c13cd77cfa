"""Which steps of a case its citizen is told of, by which lanes, and what is decided for each."""

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
"""send: the lanes are known. wait: they are on their way. keep: whether any comes is not known yet. none."""


def decide_notice(
    *, received: bool, wanted: bool | None, stated: bool, reachable: bool, erased: bool
) -> NoticeDecision:
    """Whether a step is told.

    `received`: inquiry.received was seen; `wanted`: what it said (None: nothing kept); `stated`: the contact
    event was seen; `reachable`: it names a lane that we have; `erased`: the case is erased.
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
