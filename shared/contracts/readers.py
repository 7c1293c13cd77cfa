"""Which service reads which topics, for the AsyncAPI document and the history checker."""

from collections.abc import Mapping
from itertools import chain

CONSUMERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "publisher": {"publisher": ("inquiry", "routing", "contact")},
    "inquiry": {"inquiry": ("routing",)},
    "routing": {"routing": ("inquiry",), "routing.actions": ("actions",)},
    "audit": {},
}
"""The logical topics of each consumer of a service, by the consumer's name."""
LOGGED = ("publisher", "inquiry", "routing", "audit")
"""The topics that audit's log reads, without a consumer group."""
RECEIVED = ("department",)
"""The topics that a unit's own system reads."""


def readers() -> dict[str, tuple[str, ...]]:
    """Logical topics by reader: every service, and `unit`, a unit's own system."""
    consumed = {who: tuple(chain.from_iterable(own.values())) for who, own in CONSUMERS.items()}
    return {**consumed, "audit": (*consumed["audit"], *LOGGED), "unit": RECEIVED}
