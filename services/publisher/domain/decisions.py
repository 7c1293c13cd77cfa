"""The decisions about a publication: what an act makes of it, or the rule that forbids the act.

Every act names the version that the person has seen. One on an older version is refused, so that nobody
approves or publishes a text that was changed in the meantime.
"""

import datetime as dt
from dataclasses import replace

from services.publisher.domain.content import Content
from services.publisher.domain.publications import TRANSITIONS, Act, Publication, Rule, State
from shared.contracts.inquiry import NoteWords
from shared.contracts.publisher import (
    PublicationApproved,
    PublicationDrafted,
    PublicationPublished,
    PublicationWithdrawn,
    PublicationWords,
)
from shared.decision import Decision, PendingEvent, Refusal, TimerSpec

PUSH = "push_publication"
"""The timer that starts a push. Its own transaction: an editor does not wait for one row per subscriber."""


def draft(content: Content, editor: str) -> Decision[Publication]:
    """A new publication: version 1. Emits publication.drafted."""
    return _drafted(Publication("draft", 1, None, editor, content.topics), content)


def revise(
    publication: Publication, content: Content, version: int, editor: str
) -> Decision[Publication] | Refusal:
    """A new version, which has no approval yet; the public version stays. Emits publication.drafted."""
    state = _next_state(publication, "revise", version)
    if isinstance(state, Refusal):
        return state
    revised = replace(publication, state=state, version=version + 1, editor=editor, topics=content.topics)
    return _drafted(revised, content)


def approve(publication: Publication, version: int, approver: str) -> Decision[Publication] | Refusal:
    """A second person (four-eyes rule): the editor of a version never approves it.

    Emits publication.approved.
    """
    state = _next_state(publication, "approve", version)
    if isinstance(state, Refusal):
        return state
    if approver == publication.editor:
        return _forbidden(publication, "second_person")
    event = PublicationApproved(version=version, approver=approver)
    return Decision(replace(publication, state=state), (PendingEvent(event),))


def publish(
    publication: Publication, version: int, publisher: str, now: dt.datetime
) -> Decision[Publication] | Refusal:
    """Makes the approved version public and schedules its push. Emits publication.published."""
    state = _next_state(publication, "publish", version)
    if isinstance(state, Refusal):
        return state
    event = PublicationPublished(version=version, topics=publication.topics, publisher=publisher)
    return Decision(
        replace(publication, state=state, public_version=version),
        (PendingEvent(event),),
        timers=(TimerSpec(PUSH, now, {"version": version}),),
    )


def withdraw(publication: Publication, version: int, reason: str, by: str) -> Decision[Publication] | Refusal:
    """Withdraws the public version, and any newer draft with it. Emits publication.withdrawn."""
    state = _next_state(publication, "withdraw", version)
    if isinstance(state, Refusal):
        return state
    assert publication.public_version is not None  # noqa: S101  (the rule `never_published`)
    event = PublicationWithdrawn(version=publication.public_version, by=by)
    return Decision(
        replace(publication, state=state),
        (PendingEvent(event, NoteWords(text=reason)),),
        cancelled=(PUSH,),
    )


def _next_state(publication: Publication, act: Act, version: int) -> State | Refusal:
    """The rules that all acts share, in this order."""
    state = TRANSITIONS[publication.state].get(act)
    if state is None:
        return _forbidden(publication, "wrong_state")
    if act == "withdraw" and publication.public_version is None:
        return _forbidden(publication, "never_published")
    if version != publication.version:
        return _forbidden(publication, "version_changed")
    return state


def _forbidden(publication: Publication, rule: Rule) -> Refusal:
    return Refusal(publication.state, rule, publication.allowed)


def _drafted(publication: Publication, content: Content) -> Decision[Publication]:
    data = PublicationDrafted(
        version=publication.version,
        topics=content.topics,
        document_number=content.document_number,
        effective_from=content.effective_from,
        editor=publication.editor,
    )
    words = PublicationWords(title=content.title, summary=content.summary, body=content.body)
    return Decision(publication, (PendingEvent(data, words),))
