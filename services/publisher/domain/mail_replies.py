"""What a mail server's refusal of a recipient is about: the mailbox, this one mail, or us as a sender."""

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
    """Refused by a policy (RFC 3463 3.8). The server's replies to other mails show whether it blocks us, or
    only this recipient."""

    reason: str


def recipient_refused(code: int, text: str) -> GiveUp | TryAgain | BlockedByPolicy:
    """What a refused RCPT means.

    An address is gone only if the reply can mean nothing else. 550, 551, 553 and 554 alone can mean more: RFC
    5321 4.2.3 defines 550 as "mailbox not found, no access, or command rejected for policy reasons", and
    relays that do not know us use all four. A subscription that ends by mistake is lost; one that stays costs
    an occasional refused mail.
    """
    reason = f"smtp_{code}"
    if code < 500:
        return TryAgain(reason)
    found = _ENHANCED.match(text.lstrip())
    enhanced = found[1] if found else ""
    if enhanced.startswith("5.7.") or (not enhanced and code == _SIGN_IN_FIRST):
        return BlockedByPolicy(reason)
    return GiveUp(reason, gone=enhanced in _GONE or (not enhanced and code == _NO_MAIL_THERE))
