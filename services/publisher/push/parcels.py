"""From a ledger row to what is sent: addresses are opened and texts made at the last moment, never stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import asyncpg
import orjson

from services.publisher.domain.outcomes import GiveUp
from services.publisher.keyring import Sealed
from services.publisher.push import letters
from services.publisher.push.ledger import Claimed
from services.publisher.push.letters import Envelope, Office
from services.publisher.queries import QUERIES
from services.publisher.subscriptions import Purpose, Secrets


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one address."""

    to: str
    message: EmailMessage


@dataclass(frozen=True, slots=True)
class Call:
    """A webhook: Standard Webhooks signs `body` under the delivery's id with `secret`."""

    url: str
    secret: str
    body: bytes


Content = Letter | Call | GiveUp
"""GiveUp: there is nothing (any more) to send or nobody to send it to."""


class Packing:
    """Makes the contents of claimed deliveries, with one query per table for all of them."""

    def __init__(self, pool: asyncpg.Pool, secrets: Secrets, office: Office) -> None:
        self._pool = pool
        self._secrets = secrets
        self._office = office

    async def pack(self, deliveries: Sequence[Claimed]) -> list[tuple[Claimed, Content]]:
        """Each delivery with its content, in order."""
        cases = {each.recipient for each in deliveries if each.kind == "notice"}
        subscribers = {each.recipient for each in deliveries if each.kind != "notice"}
        pushed = {each.subject for each in deliveries if each.kind == "publication"}
        contacts = await self._people("notice_recipients", cases, "inquiry")
        people = await self._people("subscribers", subscribers, "id")
        shown = {row["id"]: dict(row) for row in await self._rows("versions_to_push", pushed)}
        packed: list[tuple[Claimed, Content]] = []
        for each in deliveries:
            if each.kind == "notice":
                packed.append((each, self._notice(each, contacts.get(each.recipient))))
            elif each.kind == "confirmation":
                packed.append((each, self._confirmation(each, people.get(each.recipient))))
            else:
                packed.append(
                    (each, self._publication(each, people.get(each.recipient), shown.get(each.subject)))
                )
        return packed

    def _notice(self, delivery: Claimed, to: Mapping[str, Any] | None) -> Content:
        if to is None or delivery.step is None:
            return GiveUp("no_contact")
        message = letters.notice(self._office, _envelope(delivery, to), delivery.step, to["number"])
        return Letter(to["address"], message)

    def _confirmation(self, delivery: Claimed, to: Mapping[str, Any] | None) -> Content:
        if to is None or to["state"] != "pending":
            return GiveUp("left")
        message = letters.confirmation(self._office, _envelope(delivery, to), self._link("confirm", to["id"]))
        return Letter(to["address"], message)

    def _publication(
        self, delivery: Claimed, to: Mapping[str, Any] | None, shown: Mapping[str, Any] | None
    ) -> Content:
        if to is None or to["state"] != "active":
            return GiveUp("left")
        if shown is None or shown["version"] != delivery.version:
            return GiveUp("superseded")
        if delivery.lane == "webhook":
            body = webhook_body(self._office.public_url, shown)
            return Call(to["address"], self._secrets.webhook_secret(to["id"]), body)
        leave = self._link("leave", to["id"])
        return Letter(to["address"], letters.publication(self._office, _envelope(delivery, to), shown, leave))

    def _link(self, purpose: Purpose, subscription: str) -> str:
        token = self._secrets.token(purpose, subscription)
        return f"{self._office.public_url}/subscribe/{purpose}/{subscription}/{token}"

    async def _people(self, query: str, ids: set[str], key: str) -> dict[str, dict[str, Any]]:
        people = {}
        for row in await self._rows(query, ids):
            address = self._secrets.keyring.open(Sealed(row["address"], row["wrapped_key"]), row[key])
            people[row[key]] = dict(row) | {"address": address}
        return people

    async def _rows(self, query: str, ids: set[str]) -> list[asyncpg.Record]:
        return await self._pool.fetch(QUERIES[query], sorted(ids)) if ids else []


def _envelope(delivery: Claimed, to: Mapping[str, Any]) -> Envelope:
    return Envelope(delivery.id, delivery.at, to["address"], to["language"])


def webhook_body(public_url: str, shown: Mapping[str, Any]) -> bytes:
    """`publication.published` in Standard Webhooks' payload form: the same bytes at every attempt."""
    return orjson.dumps(
        {
            "type": "publication.published",
            "timestamp": shown["public_changed_at"],
            "data": {
                "id": shown["id"],
                "version": shown["version"],
                "title": shown["title"],
                "summary": shown["summary"],
                "topics": list(shown["topics"]),
                "document_number": shown["document_number"],
                "effective_from": shown["effective_from"],
                "published_at": shown["published_at"],
                "url": f"{public_url}/policies/{shown['id']}",
            },
        },
        option=orjson.OPT_UTC_Z,
    )
