"""Rows of a pack that cannot be meant are refused, and names are shown by language."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.policy.tables import (
    Budget,
    CatalogueRow,
    DayCount,
    Department,
    Limits,
    Percent,
    Rework,
    Service,
)

SERVICE = {"service_code": "light", "name": "路灯", "group": "道路", "kind": "help", "source": "own: test"}


def test_a_name_is_shown_in_english_where_there_is_one() -> None:
    service = Service.model_validate(SERVICE | {"name_en": "Street light", "group_en": "Roads"})
    assert [service.in_language(language) for language in ("zh", "en")] == ["路灯", "Street light"]
    assert [service.group_in(language) for language in ("zh", "en")] == ["道路", "Roads"]
    alone = Service.model_validate(SERVICE)
    assert (alone.in_language("en"), alone.group_in("en")) == ("路灯", "道路")


def test_a_service_may_have_a_budget_of_its_own() -> None:
    assert Service.model_validate(SERVICE).due is None
    own = Service.model_validate(SERVICE | {"due_amount": "3", "due_day_count": "working_days"})
    assert own.due == Budget(amount=3, day_count=DayCount.WORKING_DAYS, source="own: test")


@pytest.mark.parametrize(
    "cells",
    [
        {"due_amount": 3},
        {"due_amount": 1.5, "due_day_count": "working_days"},
        {"due_amount": 1.5, "due_day_count": "hours_24x7"},
        {"due_amount": 0, "due_day_count": "hours_24x7"},
        {"due_amount": 10_001, "due_day_count": "hours_24x7"},
        {"colour": "orange"},
    ],
)
def test_a_service_with_an_impossible_budget_or_an_unknown_field_is_refused(cells: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Service.model_validate(SERVICE | cells)


def test_hours_of_other_budgets_may_be_fractional_and_days_may_not() -> None:
    assert (
        Budget.model_validate({"amount": 0.5, "day_count": "hours_duty", "source": "own: test"}).amount == 0.5
    )
    with pytest.raises(ValidationError, match="whole numbers"):
        Budget.model_validate({"amount": 0.5, "day_count": "months", "source": "own: test"})


@pytest.mark.parametrize(
    "cells", [{"co": ["water"]}, {"co": ["a", "a"]}, {"valid_from": "2026-02-01", "valid_to": "2026-01-31"}]
)
def test_a_rule_with_a_unit_twice_or_without_a_day_is_refused(cells: dict[str, Any]) -> None:
    row = {"rule_id": "r", "service_code": "light", "lead": "water", "source": "own: test"}
    CatalogueRow.model_validate(row)
    with pytest.raises(ValidationError):
        CatalogueRow.model_validate(row | cells)


@pytest.mark.parametrize(("percent", "valid"), [(0, False), (1, True), (100, True), (101, False)])
def test_a_percentage_is_from_1_to_100(percent: int, valid: bool) -> None:
    check = TypeAdapter(Percent)
    if valid:
        assert check.validate_python(percent) == percent
    else:
        with pytest.raises(ValidationError):
            check.validate_python(percent)


def test_limits_begin_at_none_and_a_kind_of_unit_is_a_letter_at_least() -> None:
    assert Limits(returns_per_unit=0, returns_per_case=0, source="own").returns_per_unit == 0
    assert Rework(share=1, maximum=0, source="own").maximum == 0
    assert Department(code="a", name="a", kind="k", kafka=False, source="own").kind == "k"
    for make in (
        lambda: Limits(returns_per_unit=-1, returns_per_case=0, source="own"),
        lambda: Limits(returns_per_unit=0, returns_per_case=-1, source="own"),
        lambda: Rework(share=1, maximum=-1, source="own"),
        lambda: Department(code="a", name="a", kind="", kafka=False, source="own"),
    ):
        with pytest.raises(ValidationError):
            make()
