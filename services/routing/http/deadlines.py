"""The time left until a case's deadlines, counted by the policy version that the case lives under."""

import datetime as dt
from collections.abc import Sequence

from services.routing.http.models import CaseView, ListedCase
from services.routing.queries import ConnectionOrPool
from shared.packs import PackNotHere, Packs
from shared.policy.deadlines import clock_budget
from shared.policy.model import Pack
from shared.policy.remaining import Remaining, time_remaining

DisplayedCase = CaseView | ListedCase


class Deadlines:
    """For templates: the time left in cases at one moment."""

    def __init__(self, packs: Packs, now: dt.datetime) -> None:
        self._packs = packs
        self._now = now

    @classmethod
    async def of(
        cls, connection: ConnectionOrPool, packs: Packs, cases: Sequence[DisplayedCase], now: dt.datetime
    ) -> "Deadlines":
        """Loads the policy versions of these cases."""
        await packs.load(connection, {case.policy_version for case in cases})
        return cls(packs, now)

    def reply(self, case: DisplayedCase) -> Remaining | None:
        """Until the reply (答复) is due; None for a case without a deadline."""
        return self._left(self._pack(case), case.reply_day_count, case.reply_due)

    def sign(self, case: CaseView) -> Remaining | None:
        """Until the lead has to sign (签收); None for a case that was not dispatched."""
        pack = self._pack(case)
        day_count = clock_budget(pack, "sign", case.urgent).day_count if pack is not None else None
        return self._left(pack, day_count, case.sign_due)

    def _left(self, pack: Pack | None, day_count: str | None, due: dt.datetime | None) -> Remaining | None:
        if due is None:
            return None
        return time_remaining(pack.calendar if pack is not None else None, day_count, due, self._now)

    def _pack(self, case: DisplayedCase) -> Pack | None:
        try:
            return self._packs.of(case.policy_version)
        except PackNotHere:
            return None  # then it is counted in calendar time
