"""What an editor may write, at its limits; and the topics, which are published codes."""

import datetime as dt
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.publisher.domain.content import Content, Reason
from services.publisher.domain.publications import TOPICS, Publication, is_topic

GOOD: dict[str, Any] = {"title": "T", "body": "B"}


def content(**changes: Any) -> Content:
    return Content(**(GOOD | changes))


@pytest.mark.parametrize(
    ("member", "longest"), [("title", 200), ("summary", 1000), ("body", 20_000), ("document_number", 200)]
)
def test_a_text_has_its_longest_length(member: str, longest: int) -> None:
    assert getattr(content(**{member: "x" * longest}), member) == "x" * longest
    with pytest.raises(ValidationError, match=f"at most {longest} "):
        content(**{member: "x" * (longest + 1)})


@pytest.mark.parametrize("member", ["title", "body", "document_number"])
def test_a_text_that_is_needed_is_not_empty(member: str) -> None:
    assert getattr(content(**{member: "x"}), member) == "x"
    with pytest.raises(ValidationError, match="at least 1 "):
        content(**{member: ""})


@pytest.mark.parametrize("member", ["title", "summary", "document_number"])
def test_space_around_a_line_is_cut_and_that_of_a_body_stays(member: str) -> None:
    assert getattr(content(**{member: "  x \n"}), member) == "x"
    assert content(body=" x ").body == " x "


@pytest.mark.parametrize("member", ["summary", "body"])
def test_every_line_ending_becomes_lf(member: str) -> None:
    assert getattr(content(**{member: "a\r\nb\rc\nd"}), member) == "a\nb\nc\nd"


def test_what_is_left_out_is_empty() -> None:
    made = content()
    assert (made.summary, made.topics, made.document_number, made.effective_from) == ("", (), None, None)
    moment = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    assert content(effective_from=moment).effective_from == moment
    for changes in ({"effective_from": "2026-11-24T00:00:00"}, {"more": 1}):
        with pytest.raises(ValidationError):
            content(**changes)


def test_up_to_ten_topics_each_once() -> None:
    ten = tuple(f"t{n}" for n in range(10))
    assert content(topics=ten).topics == ten
    assert content(topics=("b", "a", "b")).topics == ("b", "a")
    with pytest.raises(ValidationError, match="at most 10 items"):
        content(topics=(*ten, "t10"))
    with pytest.raises(
        ValidationError, match="a topic is a code of a-z, 0-9 and dashes, and not `all`: 'All' is none"
    ):
        content(topics=("All",))


@pytest.mark.parametrize(
    ("code", "valid"),
    [
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("all", False),
        ("alles", True),
        ("a-1", True),
        ("A", False),
    ],
)
def test_a_topic_is_a_code(code: str, valid: bool) -> None:
    assert is_topic(code) is valid


def test_the_topics_on_offer_keep_their_codes() -> None:
    # Subscriptions and feeds have them in their addresses.
    assert set(TOPICS) >= {
        *("housing", "water-energy", "transport", "environment", "education", "health", "social-security"),
        *("business", "public-safety", "city-management"),
    }
    assert all(is_topic(code) for code in TOPICS)


def test_only_what_was_public_can_be_withdrawn() -> None:
    assert Publication("draft", 1, None, "e").allowed == ("revise", "approve")
    assert Publication("draft", 2, 1, "e").allowed == ("revise", "approve", "withdraw")
    assert Publication("published", 1, 1, "e").allowed == ("revise", "withdraw")
    assert Publication("withdrawn", 1, 1, "e").allowed == ()


def test_a_reason_is_a_short_text() -> None:
    reason = TypeAdapter(Reason)
    assert reason.validate_python(" a\r\nb ") == "a\nb"
    assert len(reason.validate_python("x" * 1000)) == 1000
    with pytest.raises(ValidationError):
        reason.validate_python("x" * 1001)


def test_what_was_written_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        content().title = "other"  # type: ignore[misc]
