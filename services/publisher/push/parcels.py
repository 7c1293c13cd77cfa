"""From a ledger row to what is sent: addresses are opened and texts made at the last moment, never stored."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from services.publisher.domain.outcomes import GiveUp, TryAgain
from services.publisher.hooks import Hook
from services.publisher.keyring import Sealed
from services.publisher.push import letters
from services.publisher.push.ledger import Claimed
from services.publisher.push.letters import Envelope, Office
from services.publisher.queries import QUERIES
from services.publisher.subscriptions import Purpose, Secrets
from shared.clock import machine_now
from shared.logs import about, get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one address."""

    to: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A webhook: Standard Webhooks signs `body` under the delivery's id with each of `secrets`."""

    url: str
    secrets: tuple[str, ...]
    body: bytes


Content = Letter | Call | GiveUp | TryAgain
"""GiveUp: there is nothing (any more) to send or nobody to send it to. TryAgain: it could not be made."""


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
        contacts = {row["inquiry"]: row for row in await self._rows("notice_recipients", cases)}
        people = {row["id"]: row for row in await self._rows("subscribers", subscribers)}
        shown = {row["id"]: row for row in await self._rows("versions_to_push", pushed)}
        packed: list[tuple[Claimed, Content]] = []
        for each in deliveries:
            to = (contacts if each.kind == "notice" else people).get(each.recipient)
            try:
                content = self._content(each, to, shown.get(each.subject))
            except Exception as error:
                # One that cannot be made (a key that was exchanged, a text that no mail can hold) must stop
                # no other; it is tried again and is seen in the ledger.
                with about(each.subject):
                    log.exception("a delivery could not be made", delivery=each.id, kind=each.kind)
                content = TryAgain(type(error).__name__)
            packed.append((each, content))
        return packed

    async def objection(self, delivery: Claimed) -> GiveUp | None:
        """What has happened since the delivery was packed, so that it must not be sent."""
        reason = await self._pool.fetchval(QUERIES["objection"], delivery.id)
        return GiveUp(reason) if reason else None

    def _content(
        self, delivery: Claimed, row: asyncpg.Record | None, shown: asyncpg.Record | None
    ) -> Content:
        if delivery.kind == "notice":
            return self._notice(delivery, row)
        if row is None:
            return GiveUp("left")
        address = self._secrets.keyring.open(Sealed(row["address"], row["wrapped_key"]), delivery.recipient)
        to = dict(row) | {"address": address}
        if delivery.kind == "confirmation":
            return self._confirmation(delivery, to)
        return self._publication(delivery, to, dict(shown) if shown else None)

    def _notice(self, delivery: Claimed, row: asyncpg.Record | None) -> Content:
        assert delivery.step is not None  # noqa: S101  (insert_notices always names it)
        box, key = ("webhook", "webhook_key") if delivery.lane == "webhook" else ("address", "wrapped_key")
        if row is None or row[box] is None:
            return GiveUp("no_contact")
        opened = self._secrets.keyring.open(Sealed(row[box], row[key]), delivery.recipient)
        if delivery.lane == "webhook":
            hook = Hook.unpacked(opened)
            body = notice_body(self._office.public_url, delivery.step, delivery.at, row["number"])
            return Call(hook.url, (hook.secret,), body)
        envelope = Envelope(delivery.id, delivery.at, opened, row["language"])
        message = letters.notice(self._office, envelope, delivery.step, row["number"])
        return Letter(opened, message.as_bytes())

    def _confirmation(self, delivery: Claimed, to: Mapping[str, Any]) -> Content:
        if to["state"] != "pending":
            return GiveUp("left")
        message = letters.confirmation(self._office, _envelope(delivery, to), self._link("confirm", to["id"]))
        return Letter(to["address"], message.as_bytes())

    def _publication(
        self, delivery: Claimed, to: Mapping[str, Any], shown: Mapping[str, Any] | None
    ) -> Content:
        if to["state"] != "active":
            return GiveUp("left")
        if shown is None or shown["version"] != delivery.version:
            return GiveUp("superseded")
        if delivery.lane == "webhook":
            body = webhook_body(self._office.public_url, shown)
            secrets = self._secrets.signing_secrets(
                to["id"], to["generation"], to["rotated_at"], machine_now()
            )
            return Call(to["address"], secrets, body)
        leave = self._link("leave", to["id"])
        message = letters.publication(self._office, _envelope(delivery, to), shown, leave)
        return Letter(to["address"], message.as_bytes())

    def _link(self, purpose: Purpose, subscription: str) -> str:
        token = self._secrets.token(purpose, subscription)
        return f"{self._office.public_url}/subscribe/{purpose}/{subscription}/{token}"

    async def _rows(self, query: str, ids: set[str]) -> list[asyncpg.Record]:
        return await self._pool.fetch(QUERIES[query], sorted(ids)) if ids else []


def _envelope(delivery: Claimed, to: Mapping[str, Any]) -> Envelope:
    return Envelope(delivery.id, delivery.at, to["address"], to["language"])


def notice_body(public_url: str, step: str, at: dt.datetime, number: str) -> bytes:
    """A step of a case under the name of the event that told it, without anybody's words."""
    return orjson.dumps(
        {
            "type": step,
            "timestamp": at,
            "data": {"number": number, "step": step, "url": f"{public_url}/track?number={number}"},
        },
        option=orjson.OPT_UTC_Z,
    )


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
