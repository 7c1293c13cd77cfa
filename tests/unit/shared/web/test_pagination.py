"""Cursors are read as they were written, and pages join without gap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.pagination import page_of, read_cursor, write_cursor
from shared.web.problems import Problem


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=100),
    st.integers(0, 2**53),
)
def test_a_cursor_is_read_as_it_was_written(text: str, number: int) -> None:
    assert read_cursor(write_cursor(text, number), str, int) == (text, number)


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "!!!", "é", "AAAA", "A" * 2000, "bnVsbA", "e30"),
        *(write_cursor("a"), write_cursor(1, 1), write_cursor("a", 1, 1), write_cursor("a\0", 1)),
    ],
)
def test_a_bad_cursor_is_400(cursor: str) -> None:
    with pytest.raises(Problem) as raised:
        read_cursor(cursor, str, int)
    assert raised.value.status_code == 400


def test_pages_join_without_gap_or_repetition() -> None:
    rows = list(range(25))
    seen: list[int] = []
    cursor: str | None = None
    while True:
        after = read_cursor(cursor, int)
        rest = [row for row in rows if after is None or row > after[0]][:11]
        page = page_of(rest, 10, lambda row: (row,))
        seen += page.items
        cursor = page.next
        if cursor is None:
            break
    assert seen == rows
    assert page_of([], 10, lambda row: (row,)).next is None
