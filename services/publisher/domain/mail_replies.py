"""What a mail server's refusal of a recipient means: the mailbox is no more, or it is this letter, or us."""

import re
from dataclasses import dataclass

from services.publisher.domain.delivery_results import GiveUp, TryAgain

# RFC 3463 3.2, 3.3 and RFC 7505: no such mailbox, no such domain, bad syntax, moved, no mail there, disabled.
_GONE = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
_ENHANCED = re.compile(r"(5\.\d{1,3}\.\d{1,3})(?!\d)")  # RFC 2034: the reply's text begins with it
_NO_MAIL_THERE = 556  # RFC 7504, of which nothing but the domain can be meant
_SIGN_IN_FIRST = 530  # RFC 4954


@dataclass(frozen=True, slots=True)
class BlockedByPolicy:
    """Refused by a policy (RFC 3463 3.8). Whether it is meant for us or for this recipient alone is told by
    what the server does with the other letters."""

    reason: str


def recipient_refused(code: int, text: str) -> GiveUp | TryAgain | BlockedByPolicy:
    """What a refused RCPT means.

    An address is gone only where the reply says so and nothing else. 550, 551, 553 and 554 alone do not: RFC
    5321 4.2.3 has 550 mean "mailbox not found, no access, or command rejected for policy reasons", and relays
    that do not know us answer with each of them. A subscription that ends wrongly is lost; one that stays
    costs a refused letter now and then.
    """
    reason = f"smtp_{code}"
    if code < 500:
        return TryAgain(reason)
    found = _ENHANCED.match(text.lstrip())
    enhanced = found[1] if found else ""
    if enhanced.startswith("5.7.") or (not enhanced and code == _SIGN_IN_FIRST):
        return BlockedByPolicy(reason)
    return GiveUp(reason, gone=enhanced in _GONE or (not enhanced and code == _NO_MAIL_THERE))
