"""Small calendars for tests."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from shared.policy.calendar import WorkCalendar
from shared.policy.calendar_table import CalendarTable

OFFICE = ["09:00-12:00", "13:00-17:00"]


def calendar(
    timezone: str = "Europe/London",
    *,
    rule: str = "receipt_day",
    off: Iterable[dt.date] = (),
    years: Iterable[int] = (2024, 2025),
    duty: dict[str, Any] | None = None,
) -> WorkCalendar:
    """Monday to Friday 9 to 12 and 13 to 17, unless `duty` says otherwise, with the days `off`."""
    off = sorted(off)
    return WorkCalendar(
        CalendarTable.model_validate(
            {
                "duty": {
                    **(duty or dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), OFFICE)),
                    "source": "own: test",
                },
                "day_zero": {"rule": rule, "source": "own: test"},
                "years": [
                    {
                        "year": year,
                        "status": "declared",
                        "source": "own: test",
                        "holidays": [
                            {"name": "假日", "name_en": "day off", "first": str(day)}
                            for day in off
                            if day.year == year
                        ],
                    }
                    for year in years
                ],
            }
        ),
        timezone,
    )
