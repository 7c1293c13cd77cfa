"""Mails: plain text in the reader's language. About a case only its number and a link, none of its text."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from services.publisher.queries.recipients import PushedVersion
from shared.web import times
from shared.web.i18n import LANGUAGES, MessageCatalogue

_LONGEST_SUBJECT = 150


class _Unfolded(UnstructuredHeader, BaseHeader):
    """A header on one line, unencoded. A link has no space to fold at, so the library would encode it
    (RFC 2047), and no mail program decodes a link. Lines may have 998 characters (RFC 5322 2.1.1)."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _Unfolded)
# 7bit: not every server takes more (RFC 6152). 76: the longest line with an encoded word (RFC 2047 2).
_POLICY = SMTP.clone(header_factory=_HEADERS, cte_type="7bit", max_line_length=76)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """What all mails share: site, sender's address, the jurisdiction's time zone, and texts."""

    public_url: str
    sender: str
    zone: ZoneInfo
    texts: MessageCatalogue

    @property
    def host(self) -> str:
        """The domain of Message-IDs."""
        return urlsplit(self.public_url).hostname or "localhost"


@dataclass(frozen=True, slots=True)
class MailHeader:
    """What the headers of one mail are made of.

    `delivery` is the id of the ledger row; `at` the business time of what the mail reports;
    `preferred_language` any language code.
    """

    delivery: str
    at: dt.datetime
    to: str
    preferred_language: str | None

    @property
    def language(self) -> str:
        """The preferred language if there are texts in it, else English."""
        return self.preferred_language if self.preferred_language in LANGUAGES else "en"


def notice(settings: MailSettings, header: MailHeader, step: str, number: str) -> EmailMessage:
    """A notice about a step of the case with that number."""
    language = header.language
    params = {
        "number": number,
        "when": times.exact(header.at, settings.zone, language),
        "link": f"{settings.public_url}/track?number={number}",
    }
    subject = settings.texts.text(language, f"mail.step.{step}.subject", **params)
    lines = (f"mail.step.{step}.text", "mail.notice.when", "mail.notice.track", "mail.notice.why")
    return _message(
        settings, header, subject, [settings.texts.text(language, key, **params) for key in lines]
    )


def confirmation(settings: MailSettings, header: MailHeader, link: str) -> EmailMessage:
    """Asks whether the owner of the address wants the subscription that was requested for it."""
    subject = settings.texts.text(header.language, "mail.confirm.subject")
    return _message(
        settings,
        header,
        subject,
        [settings.texts.text(header.language, "mail.confirm.text", link=link)],
    )


def publication(settings: MailSettings, header: MailHeader, shown: PushedVersion, leave: str) -> EmailMessage:
    """A publication for a subscriber; `leave` is the one-click unsubscribe link (RFC 8058)."""
    language = header.language
    subject = settings.texts.text(language, "mail.publication.subject", title=_one_line(shown.title))
    link = f"{settings.public_url}/policies/{shown.id}"
    parts = [
        shown.title,
        shown.document_number,
        shown.summary,
        settings.texts.text(language, "mail.publication.read", link=link),
        settings.texts.text(language, "mail.publication.leave", link=leave),
    ]
    message = _message(settings, header, subject, [part for part in parts if part])
    message["List-Unsubscribe"] = f"<{leave}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Precedence"] = "bulk"
    return message


def _message(
    settings: MailSettings, header: MailHeader, subject: str, paragraphs: Sequence[str]
) -> EmailMessage:
    message = EmailMessage(policy=_POLICY)
    name = settings.texts.text(header.language, "app.name")
    message["From"] = Address(display_name=name, addr_spec=settings.sender)
    message["To"] = Address(addr_spec=header.to)
    message["Subject"] = subject[:_LONGEST_SUBJECT]
    message["Date"] = format_datetime(header.at)
    message["Message-ID"] = f"<{header.delivery}@{settings.host}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = "zh-Hans" if header.language == "zh" else header.language
    message.set_content("\n\n".join(paragraphs) + "\n")
    return message


def _one_line(text: str) -> str:
    """A header has one line; a title may have been pasted with more."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
