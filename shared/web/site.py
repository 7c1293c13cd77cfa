"""The navigation of the site that all services serve under one address."""

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the navigation. `text` is a message key; with `roles`, only people who have one see it."""

    href: str
    text: str
    roles: frozenset[str] = frozenset()


PUBLIC = (
    Link("/", "nav.home"),
    Link("/ask", "nav.ask"),
    Link("/track", "nav.track"),
    Link("/policies", "nav.policies"),
)
STAFF = (
    Link("/clerk", "nav.clerk", frozenset({"clerk"})),
    Link("/desk", "nav.desk", frozenset({"officer"})),
    Link("/dispatch", "nav.dispatch", frozenset({"dispatcher"})),
    Link("/publish", "nav.publish", frozenset({"editor", "approver"})),
    Link("/oversight", "nav.oversight", frozenset({"oversight"})),
)
FOOTER = (
    Link("/subscribe", "nav.subscribe"),
    Link("/log", "nav.log"),
)


def staff_links(roles: Set[str]) -> list[Link]:
    """The desks of a person with these roles."""
    return [link for link in STAFF if link.roles & roles]


def is_current(link: Link, path: str) -> bool:
    """Whether the page at `path` belongs to the link."""
    return path == link.href or (link.href != "/" and path.startswith(link.href + "/"))
