"""Redirects stay at this address."""

import pytest

from shared.web.redirects import safe_next


@pytest.mark.parametrize(
    "wish",
    [
        *(
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil",
            "javascript:alert(1)",
            "",
            None,
        ),
        *("/\t/evil.example", "/\n", "evil", " /x", "/" + "x" * 3000, "http:///x"),
    ],
)
def test_next_never_leads_elsewhere(wish: str | None) -> None:
    assert safe_next(wish) == "/"


@pytest.mark.parametrize("wish", ["/", "/desk", "/desk?unit=water&x=%2F", "/a//b", "/desk#case"])
def test_next_leads_on_to_our_own_pages(wish: str) -> None:
    assert safe_next(wish) == wish
