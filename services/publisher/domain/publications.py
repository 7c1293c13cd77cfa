"""A publication's life: drafted, approved by a second person, published, corrected, withdrawn."""

import re
from dataclasses import dataclass, replace
from typing import Literal

State = Literal["draft", "approved", "published", "withdrawn"]
Act = Literal["revise", "approve", "publish", "withdraw"]
Rule = Literal["wrong_state", "version_changed", "second_person", "never_published"]

# What each state allows, and where it leads. Withdrawn is final: what comes after is another publication.
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
    """Where it stands. `version` is the newest, made by `editor`; `public_version` what readers see."""

    state: State
    version: int
    public_version: int | None
    editor: str

    @property
    def allowed(self) -> tuple[Act, ...]:
        """The acts that this state allows to somebody."""
        return tuple(
            act for act in TRANSITIONS[self.state] if act != "withdraw" or self.public_version is not None
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an act is not done: the state, the rule, and what is allowed now."""

    state: State
    rule: Rule
    allowed: tuple[Act, ...]


def drafted(editor: str) -> Publication:
    """A new publication: version 1, a draft."""
    return Publication("draft", 1, None, editor)


def decide(publication: Publication, act: Act, actor: str, version: int) -> Publication | Refusal:
    """What the act makes of the publication; `version` is the one that the actor has seen.

    Who edited a version never approves it: the four-eyes rule. A changed draft is a new version, which has
    no approval yet.
    """
    following = TRANSITIONS[publication.state].get(act)
    rule: Rule | None = None
    if following is None:
        rule = "wrong_state"
    elif act == "withdraw" and publication.public_version is None:
        rule = "never_published"
    elif version != publication.version:
        rule = "version_changed"
    elif act == "approve" and actor == publication.editor:
        rule = "second_person"
    if following is None or rule is not None:
        return Refusal(publication.state, rule or "wrong_state", publication.allowed)
    if act == "revise":
        return replace(publication, state=following, version=version + 1, editor=actor)
    if act == "publish":
        return replace(publication, state=following, public_version=version)
    return replace(publication, state=following)


def is_topic(code: str) -> bool:
    """Whether the code can name a topic; `all` is the feed of every topic."""
    return code != "all" and _TOPIC.fullmatch(code) is not None
