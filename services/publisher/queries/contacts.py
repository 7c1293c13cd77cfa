"""What is known of the contact of a case, and steps that came before inquiry.received."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.publisher.domain.notices import LANES, CaseStep
from services.publisher.keyring import Sealed
from services.publisher.queries.statements import SQL
from shared.contracts.publisher import Lane
from shared.unit_of_work.transaction import Tx


@dataclass(frozen=True, slots=True)
class ContactStatus:
    """What is known so far. `wanted` is None before inquiry.received; `lanes` are those that it names."""

    inquiry: str
    wanted: bool | None
    stated: bool
    erased: bool
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class StatedContact:
    """contact.stated as it is stored: a contact point that we cannot use is None."""

    inquiry: str
    number: str
    language: str
    email: Sealed | None
    webhook: Sealed | None

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes on which notices can be sent."""
        points: tuple[tuple[Lane, Sealed | None], ...] = (("email", self.email), ("webhook", self.webhook))
        return tuple(lane for lane, sealed in points if sealed is not None)


async def contacts_of(tx: Tx, inquiries: Sequence[str]) -> dict[str, ContactStatus]:
    """By case; no entry for a case without contact."""
    rows = await tx.connection.fetch(SQL["contacts_of"], list(inquiries))
    return {
        row["inquiry"]: ContactStatus(
            row["inquiry"],
            row["wanted"],
            row["stated"],
            row["erased"],
            tuple(lane for lane in LANES if row[lane]),
        )
        for row in rows
    }


async def want_notices(tx: Tx, wanted: Mapping[str, bool]) -> None:
    """inquiry.received: by case whether its citizen wants notices."""
    await tx.connection.execute(SQL["want_notices"], list(wanted), list(wanted.values()))


async def announce_contacts(tx: Tx, inquiries: Sequence[str]) -> None:
    """A step says that there is a contact, before inquiry.received and contact.stated do."""
    if inquiries:
        await tx.connection.execute(SQL["announce_contacts"], list(inquiries))


async def keep_contacts(tx: Tx, contacts: Sequence[StatedContact]) -> list[str]:
    """contact.stated, in any order with inquiry.received; ignored for erased or unwilling cases.

    Gives the cases whose inquiry.received has not come.
    """
    rows = await tx.connection.fetch(
        SQL["keep_contacts"],
        [each.inquiry for each in contacts],
        [each.number for each in contacts],
        [each.language for each in contacts],
        [each.email.box if each.email else None for each in contacts],
        [each.email.wrapped_key if each.email else None for each in contacts],
        [each.webhook.box if each.webhook else None for each in contacts],
        [each.webhook.wrapped_key if each.webhook else None for each in contacts],
    )
    return [row["inquiry"] for row in rows if row["wanted"] is None]


async def erase_contacts(tx: Tx, inquiries: Sequence[str]) -> None:
    """Empties the contacts of erased cases and marks them, so that a later contact.stated is not kept."""
    await tx.connection.execute(SQL["erase_contacts"], list(inquiries))


async def forget_webhooks(tx: Tx, inquiries: Sequence[str]) -> None:
    """Deletes the webhooks of these cases: the endpoints have answered 410."""
    await tx.connection.execute(SQL["forget_webhooks"], list(inquiries))


async def insert_early_steps(tx: Tx, steps: Sequence[CaseStep]) -> None:
    """Keeps steps until inquiry.received comes."""
    if not steps:
        return
    await tx.connection.execute(
        SQL["insert_early_steps"],
        [step.inquiry for step in steps],
        [step.cause for step in steps],
        [step.name for step in steps],
        [step.at for step in steps],
    )


async def take_early_steps(tx: Tx, inquiries: Sequence[str]) -> list[CaseStep]:
    """Deletes and gives the kept steps of these cases."""
    if not inquiries:
        return []
    rows = await tx.connection.fetch(SQL["take_early_steps"], list(inquiries))
    return [
        CaseStep(row["inquiry"], row["cause"], row["step"], row["at"], announces_contact=False)
        for row in rows
    ]
