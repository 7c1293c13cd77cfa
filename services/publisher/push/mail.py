"""The e-mail lane: one SMTP connection at a time, and the meaning of the server's replies."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.publisher.domain.delivery_results import Delivered, DeliveryResult, GiveUp, TryAgain
from services.publisher.domain.mail_replies import BlockedByPolicy, recipient_refused
from services.publisher.push.errors import LaneDown
from services.publisher.push.rendering import RenderedMail

ATTEMPT_SECONDS = 30.0
_WORKS_SECONDS = 600.0


@dataclass(slots=True)
class MailServer:
    """`url` is `smtp://[user:password@]host[:port]` or `smtps://...`; `sender` the header's sender.

    `away`: it could not be reached the last time, or did not want us.
    """

    url: str
    sender: str
    away: bool = field(default=False, init=False)
    _accepted_at: float = field(default=float("-inf"), init=False)

    @property
    def works(self) -> bool:
        """Whether it has accepted a mail of ours in the last ten minutes."""
        return time.monotonic() - self._accepted_at < _WORKS_SECONDS

    def has_accepted(self) -> None:
        """A mail of ours was accepted."""
        self._accepted_at = time.monotonic()

    @asynccontextmanager
    async def session(self) -> AsyncIterator["MailSession"]:
        """A connection, signed in if the URL names a user. Raises LaneDown."""
        parts = urlsplit(self.url)
        client = aiosmtplib.SMTP(
            hostname=parts.hostname,
            port=parts.port,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=parts.scheme == "smtps",
            timeout=ATTEMPT_SECONDS,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            client.close()
            self.away = True
            raise LaneDown(type(error).__name__) from error
        try:
            yield MailSession(client, self.sender)
        except LaneDown:
            self.away = True
            raise
        else:
            self.away = False
        finally:
            client.close()


class MailSession:
    """One open SMTP connection; made by `MailServer.session`."""

    def __init__(self, client: aiosmtplib.SMTP, sender: str) -> None:
        self._client = client
        self._sender = sender

    @property
    def is_open(self) -> bool:
        """Whether another mail can be sent."""
        return self._client.is_connected

    async def send(self, mail: RenderedMail) -> DeliveryResult | BlockedByPolicy:
        """One attempt. Raises LaneDown if the server rejects our sender address."""
        try:
            await self._client.sendmail(self._sender, [mail.to], mail.message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            return recipient_refused(refused.code, refused.message)
        except aiosmtplib.SMTPSenderRefused as error:
            # Our sender address is at fault, not this mail: all mails wait until an operator fixes it.
            raise LaneDown(f"sender_{error.code}") from error
        except aiosmtplib.SMTPResponseException as error:
            if 500 <= error.code < 600:
                return GiveUp(f"smtp_{error.code}")
            return TryAgain(f"smtp_{error.code}")
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # Broken in the middle: it may have been accepted. It is sent again with the same Message-ID.
            self._client.close()
            return TryAgain(type(error).__name__)
        return Delivered()
