"""A clock that a test moves by hand."""

import datetime as dt


class FixedClock:
    """Business time stands at `moment` until a test assigns another one. Records keep their append time."""

    def __init__(self, moment: dt.datetime) -> None:
        self.moment = moment.astimezone(dt.UTC)

    def now(self) -> dt.datetime:
        return self.moment

    def effective(self, append_ms: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(append_ms / 1000, dt.UTC)
