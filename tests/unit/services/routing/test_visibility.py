"""Which units may read the words of a case, by its visibility and their assignments."""

import datetime as dt
from typing import get_args

import pytest

from services.routing.domain.case_file import Assignment, AssignmentState, CaseFile
from services.routing.domain.visibility import reads_words
from shared.contracts.inquiry import Visibility
from shared.contracts.routing import Role

NOW = dt.datetime(2026, 11, 24, 2, tzinfo=dt.UTC)
SUBJECT = "019ab0e5-0000-7000-8000-000000000001"
READ_IN_SECRET = {"offered": True, "signed": True, "done": True, "returned": False, "released": False}


def file(visibility: Visibility, state: AssignmentState, role: Role = "lead") -> CaseFile:
    held = (Assignment("own", role, state, 1, NOW), Assignment("other", "lead", "signed", 2, NOW))
    return CaseFile(SUBJECT, "accepted", visibility=visibility, assignments=held)


@pytest.mark.parametrize("state", get_args(AssignmentState))
@pytest.mark.parametrize("role", get_args(Role))
def test_a_secret_case_is_read_by_who_holds_it_or_has_ended_it(role: Role, state: AssignmentState) -> None:
    secret = file("secret", state, role)
    assert reads_words(secret, {"own"}, sees_all=False) is READ_IN_SECRET[state]
    assert reads_words(secret, {"own", "other"}, sees_all=False)
    assert not reads_words(secret, {"stranger"}, sees_all=False)
    assert not reads_words(secret, set(), sees_all=False)
    assert reads_words(secret, set(), sees_all=True)


@pytest.mark.parametrize("state", get_args(AssignmentState))
@pytest.mark.parametrize("visibility", ["public", "withheld"])
def test_what_is_kept_from_the_public_is_not_kept_from_units(
    visibility: Visibility, state: AssignmentState
) -> None:
    assert reads_words(file(visibility, state), {"own"}, sees_all=False)
