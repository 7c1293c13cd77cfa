"""Publications and their versions: the head that the rules see, and what readers and staff are shown."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from services.publisher.domain.content import Content
from services.publisher.domain.publications import Publication, State
from services.publisher.queries.statements import SQL, Queryable
from shared.unit_of_work.transaction import Tx

ListCursor = tuple[dt.datetime, str]
"""Sort key of the last row of a page: its moment and its id."""


@dataclass(frozen=True, slots=True)
class PublicVersion:
    """The version that the public sees; `state` is that of the publication."""

    id: str
    state: State
    version: int
    published_at: dt.datetime
    updated_at: dt.datetime
    withdrawal_reason: str | None
    title: str
    summary: str
    body: str
    topics: Sequence[str]
    document_number: str | None
    effective_from: dt.datetime | None


@dataclass(frozen=True, slots=True)
class DeskItem:
    """A line of the staff's list: the newest version."""

    id: str
    state: State
    version: int
    public_version: int | None
    changed_at: dt.datetime
    title: str
    editor: str
    approver: str | None


@dataclass(frozen=True, slots=True)
class DeskPublication:
    """The newest version with everything that staff see, public or not."""

    id: str
    state: State
    version: int
    public_version: int | None
    changed_at: dt.datetime
    published_at: dt.datetime | None
    withdrawal_reason: str | None
    title: str
    summary: str
    body: str
    topics: Sequence[str]
    document_number: str | None
    effective_from: dt.datetime | None
    editor: str
    drafted_at: dt.datetime
    approver: str | None
    approved_at: dt.datetime | None

    @property
    def publication(self) -> Publication:
        """As the rules see it."""
        return Publication(self.state, self.version, self.public_version, self.editor, tuple(self.topics))


async def load(tx: Tx, identifier: str) -> Publication | None:
    """The publication as the rules see it; the caller holds the aggregate's lock."""
    row = await tx.connection.fetchrow(SQL["publication_head"], identifier)
    if row is None:
        return None
    return Publication(
        row["state"], row["version"], row["public_version"], row["editor"], tuple(row["topics"])
    )


async def insert_publication(tx: Tx, identifier: str, publication: Publication) -> None:
    """The head of a new publication."""
    await tx.connection.execute(
        SQL["insert_publication"], identifier, publication.state, publication.version, tx.now
    )


async def store(tx: Tx, identifier: str, publication: Publication) -> None:
    """The state and newest version after a decision."""
    await tx.connection.execute(
        SQL["move_publication"], identifier, publication.state, publication.version, tx.now
    )


async def insert_version(tx: Tx, identifier: str, publication: Publication, content: Content) -> None:
    """The publication's newest version, as its editor wrote it."""
    await tx.connection.execute(
        SQL["insert_version"],
        identifier,
        publication.version,
        content.title,
        content.summary,
        content.body,
        list(content.topics),
        content.document_number,
        content.effective_from,
        publication.editor,
        tx.now,
    )


async def approve_version(tx: Tx, identifier: str, version: int, approver: str) -> None:
    """Adds the approver to the version."""
    await tx.connection.execute(SQL["approve_version"], identifier, version, approver, tx.now)


async def publish_version(tx: Tx, identifier: str, version: int) -> None:
    """Makes the version public in place of the previous one."""
    await tx.connection.execute(SQL["publish_version"], identifier, version, tx.now)
    await tx.connection.execute(SQL["swap_public_version"], identifier, version, tx.now)


async def withdraw_publication(tx: Tx, identifier: str, reason: str) -> None:
    """Keeps the reason, and retires the public version."""
    await tx.connection.execute(SQL["withdraw_publication"], identifier, reason, tx.now)
    await tx.connection.execute(SQL["swap_public_version"], identifier, None, tx.now)


async def public_page(
    db: Queryable, topic: str | None, after: ListCursor | None, limit: int
) -> list[PublicVersion]:
    """Up to `limit` publications in force after `after`, newest first; those of one topic if it is given."""
    moment, identifier = after or (None, None)
    if topic is None:
        rows = await db.fetch(SQL["public_publications"], moment, identifier, limit)
    else:
        rows = await db.fetch(SQL["public_publications_on"], moment, identifier, topic, limit)
    return [PublicVersion(**dict(row)) for row in rows]


async def public_version(db: Queryable, identifier: str) -> PublicVersion | None:
    """A publication that is or was public; None for any other."""
    row = await db.fetchrow(SQL["public_publication"], identifier)
    return PublicVersion(**dict(row)) if row else None


async def feed_changed_at(db: Queryable, topic: str | None) -> dt.datetime | None:
    """When the feed of a topic (None: of all) last changed; None if nothing was ever public in it."""
    if topic is None:
        changed: dt.datetime | None = await db.fetchval(SQL["feed_changed_at"])
    else:
        changed = await db.fetchval(SQL["feed_of_topic_changed_at"], topic)
    return changed


async def desk_page(db: Queryable, state: str | None, after: ListCursor | None, limit: int) -> list[DeskItem]:
    """Up to `limit` publications after `after` by last change; those in one state if it is given."""
    moment, identifier = after or (None, None)
    if state is None:
        rows = await db.fetch(SQL["desk_publications"], moment, identifier, limit)
    else:
        rows = await db.fetch(SQL["desk_publications_in"], moment, identifier, state, limit)
    return [DeskItem(**dict(row)) for row in rows]


async def desk_publication(db: Queryable, identifier: str) -> DeskPublication | None:
    """The newest version of a publication."""
    row = await db.fetchrow(SQL["desk_publication"], identifier)
    return DeskPublication(**dict(row)) if row else None
