"""A publication's life as a table: every act in every state."""

import pytest

from services.publisher.domain.publications import (
    TRANSITIONS,
    Act,
    Publication,
    Refusal,
    State,
    decide,
    drafted,
    is_topic,
)

EDITOR, APPROVER = "person:editor", "person:approver"


def publication(state: State, public: int | None = None) -> Publication:
    return Publication(state, 3, public, EDITOR)


@pytest.mark.parametrize(
    ("state", "public", "act", "expected"),
    [
        ("draft", None, "revise", ("draft", 4, None)),
        ("draft", None, "approve", ("approved", 3, None)),
        ("draft", None, "publish", "wrong_state"),
        ("draft", None, "withdraw", "never_published"),
        ("draft", 2, "revise", ("draft", 4, 2)),
        ("draft", 2, "approve", ("approved", 3, 2)),
        ("draft", 2, "publish", "wrong_state"),
        ("draft", 2, "withdraw", ("withdrawn", 3, 2)),
        ("approved", None, "revise", ("draft", 4, None)),
        ("approved", None, "approve", "wrong_state"),
        ("approved", None, "publish", ("published", 3, 3)),
        ("approved", None, "withdraw", "never_published"),
        ("approved", 2, "revise", ("draft", 4, 2)),
        ("approved", 2, "publish", ("published", 3, 3)),
        ("approved", 2, "withdraw", ("withdrawn", 3, 2)),
        ("published", 3, "revise", ("draft", 4, 3)),
        ("published", 3, "approve", "wrong_state"),
        ("published", 3, "publish", "wrong_state"),
        ("published", 3, "withdraw", ("withdrawn", 3, 3)),
        ("withdrawn", 3, "revise", "wrong_state"),
        ("withdrawn", 3, "approve", "wrong_state"),
        ("withdrawn", 3, "publish", "wrong_state"),
        ("withdrawn", 3, "withdraw", "wrong_state"),
    ],
)
def test_every_act_in_every_state_leads_on_or_names_the_rule(
    state: State, public: int | None, act: Act, expected: tuple[State, int, int | None] | str
) -> None:
    result = decide(publication(state, public), act, APPROVER, 3)
    if isinstance(expected, str):
        assert isinstance(result, Refusal)
        assert result.rule == expected
        assert result.state == state
    else:
        assert isinstance(result, Publication)
        assert (result.state, result.version, result.public_version) == expected


def test_who_edited_a_version_never_approves_it() -> None:
    result = decide(publication("draft"), "approve", EDITOR, 3)
    assert isinstance(result, Refusal)
    assert result.rule == "second_person"


def test_who_edited_an_earlier_version_may_approve_a_later_one_of_somebody_else() -> None:
    revised = decide(publication("draft"), "revise", APPROVER, 3)
    assert isinstance(revised, Publication)
    assert revised.editor == APPROVER
    assert isinstance(decide(revised, "approve", APPROVER, 4), Refusal)
    assert isinstance(decide(revised, "approve", EDITOR, 4), Publication)


@pytest.mark.parametrize("act", ["revise", "approve", "publish", "withdraw"])
def test_nobody_acts_on_a_version_that_they_have_not_seen(act: Act) -> None:
    for state in ("draft", "approved", "published"):
        if act in TRANSITIONS[state]:
            result = decide(publication(state, 2), act, APPROVER, 2)
            assert isinstance(result, Refusal)
            assert result.rule == "version_changed"


def test_a_refusal_says_what_is_allowed_now() -> None:
    refusal = decide(drafted(EDITOR), "publish", APPROVER, 1)
    assert isinstance(refusal, Refusal)
    assert refusal.allowed == ("revise", "approve")


@pytest.mark.parametrize("code", ["all", "", "Housing", "a b", "x" * 65, "住房", "a/b", "a\n"])
def test_what_cannot_name_a_topic(code: str) -> None:
    assert not is_topic(code)
