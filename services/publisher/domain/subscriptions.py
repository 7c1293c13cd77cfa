"""What somebody subscribes to, and why a subscription ends."""

from dataclasses import dataclass
from typing import Literal

from shared.contracts.publisher import Lane

EndReason = Literal["asked", "gone", "failing"]


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """What somebody asks for; `topics` empty means all. `address` is checked already."""

    lane: Lane
    address: str
    topics: tuple[str, ...]
    language: str
