"""A publication's states and what each allows; the topics."""

import re
from dataclasses import dataclass
from typing import Literal

State = Literal["draft", "approved", "published", "withdrawn"]
Act = Literal["revise", "approve", "publish", "withdraw"]
Rule = Literal["wrong_state", "version_changed", "second_person", "never_published"]

# What each state allows, and where it leads. Withdrawn is final: a successor is another publication.
TRANSITIONS: dict[State, dict[Act, State]] = {
    "draft": {"revise": "draft", "approve": "approved", "withdraw": "withdrawn"},
    "approved": {"revise": "draft", "publish": "published", "withdraw": "withdrawn"},
    "published": {"revise": "draft", "withdraw": "withdrawn"},
    "withdrawn": {},
}

# Offered at the desk and on the subscription page; their names are texts `topic.<code>`.
TOPICS = (
    "housing",
    "water-energy",
    "transport",
    "environment",
    "education",
    "health",
    "social-security",
    "business",
    "public-safety",
    "city-management",
)
_TOPIC = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as the rules see it.

    `version` is the newest one, made by `editor` under `topics`; `public_version` is the one that the public
    sees, None before the first.
    """

    state: State
    version: int
    public_version: int | None
    editor: str
    topics: tuple[str, ...] = ()

    @property
    def allowed(self) -> tuple[Act, ...]:
        """The acts that this state allows to somebody."""
        return tuple(
            act for act in TRANSITIONS[self.state] if act != "withdraw" or self.public_version is not None
        )


def is_topic(code: str) -> bool:
    """Whether the code can name a topic; `all` is the feed of every topic."""
    return code != "all" and _TOPIC.fullmatch(code) is not None
