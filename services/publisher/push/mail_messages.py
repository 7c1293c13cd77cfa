"""Mails: plain text in the reader's language, with the number of a case and a link, nothing of its text."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from shared.web import times
from shared.web.i18n import LANGUAGES, Catalogue

_LONGEST_SUBJECT = 150


class _Unfolded(UnstructuredHeader, BaseHeader):
    """On one line as it is. A link has no space to be folded at, and the library would encode it (RFC 2047),
    which no mail program undoes in a link. Lines may have 998 characters (RFC 5322 2.1.1)."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("list-unsubscribe", _Unfolded)
# 7bit: not every server takes more (RFC 6152). 76: the longest line with an encoded word (RFC 2047 2).
_POLICY = SMTP.clone(header_factory=_HEADERS, cte_type="7bit", max_line_length=76)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """Where mails come from and lead to. `zone` is that of the jurisdiction."""

    public_url: str
    sender: str
    zone: ZoneInfo
    texts: Catalogue

    @property
    def host(self) -> str:
        return urlsplit(self.public_url).hostname or "localhost"


@dataclass(frozen=True, slots=True)
class MailHeader:
    """`delivery` is the ledger row; `at` when what it tells was (business time); `language` any code."""

    delivery: str
    at: dt.datetime
    to: str
    preferred_language: str | None

    @property
    def language(self) -> str:
        """The language of the reader, or English for one that we have no texts in."""
        return self.preferred_language if self.preferred_language in LANGUAGES else "en"


def notice(mail_settings: MailSettings, header: MailHeader, step: str, number: str) -> EmailMessage:
    """A step of the case with that number."""
    language = header.language
    params = {
        "number": number,
        "when": times.exact(header.at, mail_settings.zone, language),
        "link": f"{mail_settings.public_url}/track?number={number}",
    }
    subject = mail_settings.texts.text(language, f"mail.step.{step}.subject", **params)
    lines = (f"mail.step.{step}.text", "mail.notice.when", "mail.notice.track", "mail.notice.why")
    return _message(
        mail_settings, header, subject, [mail_settings.texts.text(language, key, **params) for key in lines]
    )


def confirmation(mail_settings: MailSettings, header: MailHeader, link: str) -> EmailMessage:
    """The question whether the address wants what was asked for in its name."""
    subject = mail_settings.texts.text(header.language, "mail.confirm.subject")
    return _message(
        mail_settings,
        header,
        subject,
        [mail_settings.texts.text(header.language, "mail.confirm.text", link=link)],
    )


def publication(
    mail_settings: MailSettings, header: MailHeader, shown: Mapping[str, Any], leave: str
) -> EmailMessage:
    """A publication for a subscriber; `leave` is the one-click way out of RFC 8058."""
    language = header.language
    subject = mail_settings.texts.text(language, "mail.publication.subject", title=_one_line(shown["title"]))
    link = f"{mail_settings.public_url}/policies/{shown['id']}"
    parts = [
        shown["title"],
        shown["document_number"],
        shown["summary"],
        mail_settings.texts.text(language, "mail.publication.read", link=link),
        mail_settings.texts.text(language, "mail.publication.leave", link=leave),
    ]
    message = _message(mail_settings, header, subject, [part for part in parts if part])
    message["List-Unsubscribe"] = f"<{leave}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Precedence"] = "bulk"
    return message


def _message(
    mail_settings: MailSettings, header: MailHeader, subject: str, paragraphs: Sequence[str]
) -> EmailMessage:
    message = EmailMessage(policy=_POLICY)
    name = mail_settings.texts.text(header.language, "app.name")
    message["From"] = Address(display_name=name, addr_spec=mail_settings.sender)
    message["To"] = Address(addr_spec=header.to)
    message["Subject"] = subject[:_LONGEST_SUBJECT]
    message["Date"] = format_datetime(header.at)
    message["Message-ID"] = f"<{header.delivery}@{mail_settings.host}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = "zh-Hans" if header.language == "zh" else header.language
    message.set_content("\n\n".join(paragraphs) + "\n")
    return message


def _one_line(text: str) -> str:
    """Header fields have one line; a title may have been pasted with more."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
