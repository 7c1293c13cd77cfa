"""Turns ledger rows into messages. Addresses are opened and texts made just before sending, never stored."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from services.publisher.derived_secrets import DerivedSecrets, LinkPurpose
from services.publisher.domain.delivery_results import GiveUp, TryAgain
from services.publisher.push import mail_messages
from services.publisher.push.mail_messages import MailHeader, MailSettings
from services.publisher.queries import recipients
from services.publisher.queries.deliveries import ClaimedDelivery
from services.publisher.queries.recipients import NoticeRecipient, PushedVersion, Subscriber
from services.publisher.sealed_webhook import SealedWebhook
from shared.clock import machine_now
from shared.logs import about, get_logger
from shared.unit_of_work.database import Database

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """A mail to one address."""

    to: str
    message: bytes


@dataclass(frozen=True, slots=True)
class RenderedWebhook:
    """A webhook call: `body` is signed (Standard Webhooks) under the delivery's id with each of `secrets`."""

    url: str
    secrets: tuple[str, ...]
    body: bytes


Rendered = RenderedMail | RenderedWebhook | GiveUp | TryAgain
"""GiveUp: there is nothing to send, or the recipient is gone. TryAgain: rendering failed."""


class Renderer:
    """Renders claimed deliveries, with one query per table for all of them.

    `secrets` opens the sealed addresses, signs webhooks and makes the links in mails.
    """

    def __init__(self, database: Database, secrets: DerivedSecrets, mail_settings: MailSettings) -> None:
        self._database = database
        self._secrets = secrets
        self._mail_settings = mail_settings

    async def render(self, deliveries: Sequence[ClaimedDelivery]) -> list[tuple[ClaimedDelivery, Rendered]]:
        """Each delivery with its message, in order."""
        pool = self._database.pool
        cases = {each.recipient for each in deliveries if each.kind == "notice"}
        subscribed = {each.recipient for each in deliveries if each.kind != "notice"}
        pushed = {each.subject for each in deliveries if each.kind == "publication"}
        contacts = await recipients.notice_recipients(pool, cases)
        subscribers = await recipients.subscribers(pool, subscribed)
        versions = await recipients.versions_to_push(pool, pushed)
        rendered: list[tuple[ClaimedDelivery, Rendered]] = []
        for each in deliveries:
            message: Rendered
            try:
                if each.kind == "notice":
                    message = self._notice(each, contacts.get(each.recipient))
                else:
                    message = self._to_subscriber(
                        each, subscribers.get(each.recipient), versions.get(each.subject)
                    )
            except Exception as error:
                # One that cannot be rendered (a key that was replaced, a text that no mail can hold) must not
                # stop the others; it is tried again, and the ledger shows its error.
                with about(each.subject):
                    log.exception("a delivery could not be rendered", delivery=each.id, kind=each.kind)
                message = TryAgain(type(error).__name__)
            rendered.append((each, message))
        return rendered

    def _notice(self, delivery: ClaimedDelivery, contact: NoticeRecipient | None) -> Rendered:
        assert delivery.step is not None  # noqa: S101  (insert_notices always names it)
        sealed = None
        if contact is not None:
            sealed = contact.webhook if delivery.lane == "webhook" else contact.email
        if contact is None or sealed is None:
            return GiveUp("no_contact")
        opened = self._secrets.keyring.open(sealed, delivery.recipient)
        if delivery.lane == "webhook":
            webhook = SealedWebhook.from_text(opened)
            body = notice_body(self._mail_settings.public_url, delivery.step, delivery.at, contact.number)
            return RenderedWebhook(webhook.url, (webhook.secret,), body)
        header = MailHeader(delivery.id, delivery.at, opened, contact.language)
        message = mail_messages.notice(self._mail_settings, header, delivery.step, contact.number)
        return RenderedMail(opened, message.as_bytes())

    def _to_subscriber(
        self, delivery: ClaimedDelivery, subscriber: Subscriber | None, shown: PushedVersion | None
    ) -> Rendered:
        if subscriber is None:
            return GiveUp("left")
        address = self._secrets.keyring.open(subscriber.address, delivery.recipient)
        header = MailHeader(delivery.id, delivery.at, address, subscriber.language)
        if delivery.kind == "confirmation":
            return self._confirmation(header, subscriber)
        if subscriber.state != "active":
            return GiveUp("left")
        if shown is None or shown.version != delivery.version:
            return GiveUp("superseded")
        if delivery.lane == "webhook":
            secrets = self._secrets.signing_secrets(
                subscriber.id, subscriber.generation, subscriber.rotated_at, machine_now()
            )
            return RenderedWebhook(address, secrets, webhook_body(self._mail_settings.public_url, shown))
        leave = self._link("leave", subscriber.id)
        message = mail_messages.publication(self._mail_settings, header, shown, leave)
        return RenderedMail(address, message.as_bytes())

    def _confirmation(self, header: MailHeader, subscriber: Subscriber) -> Rendered:
        if subscriber.state != "pending":
            return GiveUp("left")
        link = self._link("confirm", subscriber.id)
        message = mail_messages.confirmation(self._mail_settings, header, link)
        return RenderedMail(header.to, message.as_bytes())

    def _link(self, purpose: LinkPurpose, subscription: str) -> str:
        token = self._secrets.token(purpose, subscription)
        return f"{self._mail_settings.public_url}/subscribe/{purpose}/{subscription}/{token}"


def notice_body(public_url: str, step: str, at: dt.datetime, number: str) -> bytes:
    """A step of a case; its type is the family of the event that reported it. No personal words."""
    return orjson.dumps(
        {
            "type": step,
            "timestamp": at,
            "data": {"number": number, "step": step, "url": f"{public_url}/track?number={number}"},
        },
        option=orjson.OPT_UTC_Z,
    )


def webhook_body(public_url: str, shown: PushedVersion) -> bytes:
    """`publication.published` in Standard Webhooks' payload form: the same bytes at every attempt."""
    return orjson.dumps(
        {
            "type": "publication.published",
            "timestamp": shown.public_changed_at,
            "data": {
                "id": shown.id,
                "version": shown.version,
                "title": shown.title,
                "summary": shown.summary,
                "topics": list(shown.topics),
                "document_number": shown.document_number,
                "effective_from": shown.effective_from,
                "published_at": shown.published_at,
                "url": f"{public_url}/policies/{shown.id}",
            },
        },
        option=orjson.OPT_UTC_Z,
    )
