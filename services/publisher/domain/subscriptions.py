"""A request to subscribe, and why a subscription ends."""

from dataclasses import dataclass
from typing import Literal

from shared.contracts.publisher import Lane

EndReason = Literal["asked", "gone", "failing"]


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """A valid request. `address` is an e-mail address or a URL; no `topics` means all of them."""

    lane: Lane
    address: str
    topics: tuple[str, ...]
    language: str
