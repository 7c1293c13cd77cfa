"""Paths in a document as JSON pointers."""

import pytest

from shared.web.pointers import pointer


@pytest.mark.parametrize(
    ("path", "expected"),
    [((), ""), (("title",), "/title"), (("items", 0, "a/b"), "/items/0/a~1b"), (("a~b",), "/a~0b")],
)
def test_parts_are_escaped_and_joined(path: tuple[int | str, ...], expected: str) -> None:
    assert pointer(path) == expected


def test_an_unknown_member_is_named_only_if_its_name_is_plain() -> None:
    assert pointer(("places", 1, "titel"), "extra_forbidden") == "/places/1/titel"
    assert pointer(("places", 1, "<script>"), "extra_forbidden") == "/places/1"
    assert pointer(("places", 1, "<script>"), "missing") == "/places/1/<script>"
