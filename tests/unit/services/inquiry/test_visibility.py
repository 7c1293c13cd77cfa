"""Which roles may read the words of a case, by its visibility; and which units hold it."""

import pytest

from services.inquiry.domain.case import Case
from services.inquiry.domain.states import State
from services.inquiry.domain.visibility import reads_words
from tests.unit.services.inquiry.conftest import LEAD


@pytest.mark.parametrize(
    ("visibility", "roles", "reads"),
    [
        ("public", set(), True),
        ("withheld", set(), True),
        ("secret", set(), False),
        ("secret", {"operator", "dispatcher", "officer"}, False),
        ("secret", {"clerk"}, True),
        ("secret", {"officer", "oversight"}, True),
    ],
)
def test_a_secret_case_is_read_by_clerks_and_oversight_alone(
    visibility: str, roles: set[str], *, reads: bool
) -> None:
    assert reads_words(visibility, roles) is reads


def test_a_unit_holds_a_case_until_it_is_closed(cases: dict[State, Case]) -> None:
    held = (State.DISPATCHED, State.IN_PROGRESS, State.REPLIED)
    for state, case in cases.items():
        for unit in (LEAD, "transport"):
            assert case.held_by(unit) is (state in held), (state, unit)
        assert not case.held_by("housing")
