"""From a ledger row to what is sent: addresses are opened and texts made at the last moment, never stored."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from services.publisher.derived_secrets import DerivedSecrets, LinkPurpose
from services.publisher.domain.delivery_results import GiveUp, TryAgain
from services.publisher.keyring import Sealed
from services.publisher.push import mail_messages
from services.publisher.push.ledger import ClaimedDelivery
from services.publisher.push.mail_messages import MailHeader, MailSettings
from services.publisher.queries import QUERIES
from services.publisher.sealed_webhook import SealedWebhook
from shared.clock import machine_now
from shared.logs import about, get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail to one address."""

    to: str
    message: bytes


@dataclass(frozen=True, slots=True)
class RenderedWebhook:
    """A webhook: Standard Webhooks signs `body` under the delivery's id with each of `secrets`."""

    url: str
    secrets: tuple[str, ...]
    body: bytes


Rendered = RenderedMail | RenderedWebhook | GiveUp | TryAgain
"""GiveUp: there is nothing (any more) to send or nobody to send it to. TryAgain: it could not be made."""


class Renderer:
    """Makes the contents of claimed deliveries, with one query per table for all of them."""

    def __init__(self, pool: asyncpg.Pool, secrets: DerivedSecrets, mail_settings: MailSettings) -> None:
        self._pool = pool
        self._secrets = secrets
        self._mail_settings = mail_settings

    async def render(self, deliveries: Sequence[ClaimedDelivery]) -> list[tuple[ClaimedDelivery, Rendered]]:
        """Each delivery with its content, in order."""
        cases = {each.recipient for each in deliveries if each.kind == "notice"}
        subscribers = {each.recipient for each in deliveries if each.kind != "notice"}
        pushed = {each.subject for each in deliveries if each.kind == "publication"}
        contacts = {row["inquiry"]: row for row in await self._rows("notice_recipients", cases)}
        people = {row["id"]: row for row in await self._rows("subscribers", subscribers)}
        shown = {row["id"]: row for row in await self._rows("versions_to_push", pushed)}
        rendered: list[tuple[ClaimedDelivery, Rendered]] = []
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
            rendered.append((each, content))
        return rendered

    async def recheck(self, delivery: ClaimedDelivery) -> GiveUp | None:
        """What has happened since the delivery was rendered, so that it must not be sent."""
        reason = await self._pool.fetchval(QUERIES["recheck"], delivery.id)
        return GiveUp(reason) if reason else None

    def _content(
        self, delivery: ClaimedDelivery, row: asyncpg.Record | None, shown: asyncpg.Record | None
    ) -> Rendered:
        if delivery.kind == "notice":
            return self._notice(delivery, row)
        if row is None:
            return GiveUp("left")
        address = self._secrets.keyring.open(Sealed(row["address"], row["wrapped_key"]), delivery.recipient)
        to = dict(row) | {"address": address}
        if delivery.kind == "confirmation":
            return self._confirmation(delivery, to)
        return self._publication(delivery, to, dict(shown) if shown else None)

    def _notice(self, delivery: ClaimedDelivery, row: asyncpg.Record | None) -> Rendered:
        assert delivery.step is not None  # noqa: S101  (insert_notices always names it)
        box, key = ("webhook", "webhook_key") if delivery.lane == "webhook" else ("address", "wrapped_key")
        if row is None or row[box] is None:
            return GiveUp("no_contact")
        opened = self._secrets.keyring.open(Sealed(row[box], row[key]), delivery.recipient)
        if delivery.lane == "webhook":
            hook = SealedWebhook.unpacked(opened)
            body = notice_body(self._mail_settings.public_url, delivery.step, delivery.at, row["number"])
            return RenderedWebhook(hook.url, (hook.secret,), body)
        header = MailHeader(delivery.id, delivery.at, opened, row["language"])
        message = mail_messages.notice(self._mail_settings, header, delivery.step, row["number"])
        return RenderedMail(opened, message.as_bytes())

    def _confirmation(self, delivery: ClaimedDelivery, to: Mapping[str, Any]) -> Rendered:
        if to["state"] != "pending":
            return GiveUp("left")
        message = mail_messages.confirmation(
            self._mail_settings, _header(delivery, to), self._link("confirm", to["id"])
        )
        return RenderedMail(to["address"], message.as_bytes())

    def _publication(
        self, delivery: ClaimedDelivery, to: Mapping[str, Any], shown: Mapping[str, Any] | None
    ) -> Rendered:
        if to["state"] != "active":
            return GiveUp("left")
        if shown is None or shown["version"] != delivery.version:
            return GiveUp("superseded")
        if delivery.lane == "webhook":
            body = webhook_body(self._mail_settings.public_url, shown)
            secrets = self._secrets.signing_secrets(
                to["id"], to["generation"], to["rotated_at"], machine_now()
            )
            return RenderedWebhook(to["address"], secrets, body)
        leave = self._link("leave", to["id"])
        message = mail_messages.publication(self._mail_settings, _header(delivery, to), shown, leave)
        return RenderedMail(to["address"], message.as_bytes())

    def _link(self, purpose: LinkPurpose, subscription: str) -> str:
        token = self._secrets.token(purpose, subscription)
        return f"{self._mail_settings.public_url}/subscribe/{purpose}/{subscription}/{token}"

    async def _rows(self, query: str, ids: set[str]) -> list[asyncpg.Record]:
        return await self._pool.fetch(QUERIES[query], sorted(ids)) if ids else []


def _header(delivery: ClaimedDelivery, to: Mapping[str, Any]) -> MailHeader:
    return MailHeader(delivery.id, delivery.at, to["address"], to["language"])


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
