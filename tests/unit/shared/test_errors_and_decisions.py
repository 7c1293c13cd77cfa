"""The error tree as its callers use it, and refusals."""

import pytest

from shared import errors
from shared.decision import Decision, Refusal, Refused
from shared.errors import CivicloomError, Conflict, Permanent, Stale, UnknownVersion


@pytest.mark.parametrize("error", [errors.Undecodable, errors.UnknownVersion, errors.EventTooLarge])
def test_what_no_retry_can_help_is_permanent(error: type[Exception]) -> None:
    assert issubclass(error, Permanent)
    assert issubclass(error, CivicloomError)


@pytest.mark.parametrize("error", [Stale, Conflict, errors.DatabaseAway])
def test_what_may_pass_is_not_permanent(error: type[Exception]) -> None:
    assert not issubclass(error, Permanent)


def test_an_unknown_version_names_the_type_and_its_family() -> None:
    error = UnknownVersion("civic.case.triaged.v2")
    assert error.family == "civic.case.triaged"
    assert str(error).startswith("civic.case.triaged.v2 has a major version")


def test_a_refusal_over_http_is_a_conflict_with_rule_and_state() -> None:
    refusal = Refusal("closed", "case_closed", ("reopen",), "too late")
    error = Refused(refusal)
    assert isinstance(error, Conflict)
    assert (str(error), error.refusal) == ("case_closed: not allowed in state closed", refusal)


def test_a_decision_may_change_nothing_but_the_state() -> None:
    decision = Decision("accepted")
    assert (decision.state, decision.events, decision.timers, decision.cancelled) == ("accepted", (), (), ())
