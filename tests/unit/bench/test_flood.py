"""How long others' offers take to be signed beside a flood."""

from typing import Any

import pytest

from bench.flood import Signing, _signings
from bench.whole import Failed
from shared.contracts.routing import AssignmentSigned, CaseDispatched


def event(kind: type[AssignmentSigned | CaseDispatched], case: str, second: int, **data: str) -> Any:
    return kind.contract.type, {"subject": case, "time": f"2026-11-24T08:00:{second:02}Z", "data": data}


def test_signatures_of_others_count_from_their_dispatch() -> None:
    entries = [
        event(CaseDispatched, "early", 1),
        event(CaseDispatched, "late", 20),
        event(AssignmentSigned, "early", 4, unit="parks"),
        event(AssignmentSigned, "late", 21, unit="flooded"),
        event(AssignmentSigned, "late", 27, unit="parks"),
    ]
    before, during = _signings(entries, 1795507215, "flooded")
    assert (before, during) == ([3], [7])


def test_what_takes_longer_than_it_may_is_counted() -> None:
    found = Signing.of([0.5] * 98 + [5.0, 6.0])
    assert (found.offers, found.p50, found.most, found.late) == (100, 0.5, 6.0, 1)


def test_nothing_signed_has_no_figures() -> None:
    with pytest.raises(Failed):
        Signing.of([])
