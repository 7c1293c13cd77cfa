"""A publication's life as a table: every act in every state."""

import datetime as dt

import pytest

from services.publisher.domain import decisions
from services.publisher.domain.content import Content
from services.publisher.domain.publications import TRANSITIONS, Act, Publication, State, is_topic
from shared.contracts.base import EventData
from shared.contracts.publisher import (
    PublicationApproved,
    PublicationDrafted,
    PublicationPublished,
    PublicationWithdrawn,
)
from shared.decision import Decision, Refusal, TimerSpec

EDITOR, APPROVER = "person:editor", "person:approver"
NOW = dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC)
CONTENT = Content(title="T", body="B", topics=("housing",))


def publication(state: State, public: int | None = None) -> Publication:
    return Publication(state, 3, public, EDITOR, ("housing",))


def decide(publication: Publication, act: Act, actor: str, version: int) -> Decision[Publication] | Refusal:
    match act:
        case "revise":
            return decisions.revise(publication, CONTENT, version, actor)
        case "approve":
            return decisions.approve(publication, version, actor)
        case "publish":
            return decisions.publish(publication, version, actor, NOW)
        case "withdraw":
            return decisions.withdraw(publication, version, "reason", actor)


def events(result: Decision[Publication] | Refusal) -> list[EventData]:
    assert isinstance(result, Decision)
    return [event.data for event in result.events]


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
        assert isinstance(result, Decision)
        after = result.state
        assert (after.state, after.version, after.public_version) == expected


def test_the_editor_of_a_version_never_approves_it() -> None:
    result = decide(publication("draft"), "approve", EDITOR, 3)
    assert isinstance(result, Refusal)
    assert result.rule == "second_person"


def test_the_editor_of_an_earlier_version_may_approve_a_later_one_of_somebody_else() -> None:
    revised = decide(publication("draft"), "revise", APPROVER, 3)
    assert isinstance(revised, Decision)
    assert revised.state.editor == APPROVER
    assert isinstance(decide(revised.state, "approve", APPROVER, 4), Refusal)
    assert isinstance(decide(revised.state, "approve", EDITOR, 4), Decision)


@pytest.mark.parametrize("act", ["revise", "approve", "publish", "withdraw"])
def test_nobody_acts_on_a_version_that_they_have_not_seen(act: Act) -> None:
    for state in ("draft", "approved", "published"):
        if act in TRANSITIONS[state]:
            result = decide(publication(state, 2), act, APPROVER, 2)
            assert isinstance(result, Refusal)
            assert result.rule == "version_changed"


def test_a_refusal_says_what_is_allowed_now() -> None:
    refusal = decide(decisions.draft(CONTENT, EDITOR).state, "publish", APPROVER, 1)
    assert isinstance(refusal, Refusal)
    assert refusal.allowed == ("revise", "approve")


def test_a_draft_is_the_first_version_and_carries_the_text_as_words() -> None:
    drafted = decisions.draft(CONTENT, EDITOR)
    assert drafted.state == Publication("draft", 1, None, EDITOR, ("housing",))
    assert events(drafted) == [PublicationDrafted(version=1, topics=("housing",), editor=EDITOR)]
    assert drafted.events[0].words is not None


def test_publishing_schedules_the_push_and_withdrawing_cancels_it() -> None:
    published = decide(publication("approved"), "publish", APPROVER, 3)
    withdrawn = decide(publication("published", 3), "withdraw", APPROVER, 3)
    assert isinstance(published, Decision)
    assert published.timers == (TimerSpec(decisions.PUSH, NOW, {"version": 3}),)
    assert events(published) == [PublicationPublished(version=3, topics=("housing",), publisher=APPROVER)]
    assert isinstance(withdrawn, Decision)
    assert withdrawn.cancelled == (decisions.PUSH,)


def test_the_events_name_the_version_and_the_person() -> None:
    approved = decide(publication("draft"), "approve", APPROVER, 3)
    assert events(approved) == [PublicationApproved(version=3, approver=APPROVER)]
    withdrawn = decide(publication("draft", 2), "withdraw", APPROVER, 3)
    assert events(withdrawn) == [PublicationWithdrawn(version=2, by=APPROVER)]


@pytest.mark.parametrize("code", ["all", "", "Housing", "a b", "x" * 65, "住房", "a/b", "a\n"])
def test_codes_that_cannot_name_a_topic(code: str) -> None:
    assert not is_topic(code)


def test_the_kind_of_a_timer_stays_since_scheduled_ones_carry_it() -> None:
    assert decisions.PUSH == "push_publication"
