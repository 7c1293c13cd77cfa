"""Memory stays bounded, whatever a run has queued up, sent again or stalled (I7)."""

from collections.abc import Mapping

import psutil

from harness.history import Violation
from harness.installation import Installation

_GROWTH_BYTES = 200_000_000
"""Caches, pools and one full batch of each partition; a queue without bounds passes it in a long run."""


def resident(installation: Installation) -> dict[str, int]:
    """Bytes of each copy that runs."""
    return {
        f"{copy.service}-{copy.number}": psutil.Process(copy.child.pid).memory_info().rss
        for copy in installation.copies
        if copy.child is not None and copy.running
    }


def check_memory(before: Mapping[str, int], after: Mapping[str, int]) -> list[Violation]:
    """No copy has grown by more than work in hand can explain."""
    return [
        Violation("I7", f"{copy} has {size >> 20} MiB, and had {before[copy] >> 20} MiB when it started")
        for copy, size in after.items()
        if size > before[copy] + _GROWTH_BYTES
    ]
