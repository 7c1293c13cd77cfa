"""Timers in."""

from services.publisher.commands import subscriptions
from services.publisher.domain.decisions import PUSH
from services.publisher.push import batches
from shared.unit_of_work.timers import Timers


def register_timers(timers: Timers) -> None:
    """A push to subscribers starts; an unconfirmed request lapses."""
    timers.on(PUSH)(batches.start)
    timers.on(subscriptions.LAPSE)(subscriptions.lapse)
