"""Who reads which topics, as the services are: what the AsyncAPI document and the tests' judge go by."""

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
"""What audit's log takes, apart from any consumer."""
RECEIVED = ("department",)
"""What a department's own system reads, of its own topic."""


def readers() -> dict[str, tuple[str, ...]]:
    """The topics of every service, and of `unit`, a department's own system."""
    consumed = {who: tuple(chain.from_iterable(own.values())) for who, own in CONSUMERS.items()}
    return {**consumed, "audit": (*consumed["audit"], *LOGGED), "unit": RECEIVED}
