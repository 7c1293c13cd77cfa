"""What is left of a case's deadlines, counted by the policy version that the case lives under."""

import datetime as dt
from collections.abc import Sequence

from services.routing.http.models import CaseView, ListedCase
from services.routing.policy import Policies
from shared.packs import PackNotHere, Readable
from shared.policy.deadlines import clock_budget
from shared.policy.left import Left, time_left
from shared.policy.model import Pack

Case = CaseView | ListedCase


class Deadlines:
    """For templates: the time left of cases, at one moment."""

    def __init__(self, policies: Policies, now: dt.datetime) -> None:
        self._policies = policies
        self._now = now

    @classmethod
    async def of(
        cls, reader: Readable, policies: Policies, cases: Sequence[Case], now: dt.datetime
    ) -> "Deadlines":
        """With the versions of these cases at hand."""
        await policies.load(reader, {case.policy_version for case in cases})
        return cls(policies, now)

    def reply(self, case: Case) -> Left | None:
        """Until the reply (答复) is due; None for a case without a deadline."""
        return self._left(self._pack(case), case.reply_day_count, case.reply_due)

    def sign(self, case: CaseView) -> Left | None:
        """Until the lead has to sign (签收); None for a case that was not dispatched."""
        pack = self._pack(case)
        day_count = clock_budget(pack, "sign", case.urgent).day_count if pack is not None else None
        return self._left(pack, day_count, case.sign_due)

    def _left(self, pack: Pack | None, day_count: str | None, due: dt.datetime | None) -> Left | None:
        if due is None:
            return None
        return time_left(pack.calendar if pack is not None else None, day_count, due, self._now)

    def _pack(self, case: Case) -> Pack | None:
        try:
            return self._policies.of(case.policy_version).pack
        except PackNotHere:
            return None  # then it is counted in all time
