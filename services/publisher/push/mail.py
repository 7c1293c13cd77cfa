"""The e-mail lane: one SMTP connection at a time, and what the server's answers mean."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.publisher.domain.outcomes import GiveUp, Outcome, Sent, TryAgain
from services.publisher.push.parcels import Letter

ATTEMPT_SECONDS = 30.0


class LaneDown(Exception):
    """The server could not be reached or does not want us: nothing was attempted."""


@dataclass(slots=True)
class MailServer:
    """`url` is `smtp://[user:password@]host[:port]` or `smtps://...`; `sender` the envelope's sender.

    `away`: the last attempt to reach it failed.
    """

    url: str
    sender: str
    away: bool = field(default=False, init=False)

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
        self.away = False
        try:
            yield MailSession(client, self.sender)
        finally:
            client.close()


class MailSession:
    """One connection."""

    def __init__(self, client: aiosmtplib.SMTP, sender: str) -> None:
        self._client = client
        self._sender = sender

    @property
    def is_open(self) -> bool:
        """Whether another letter can be sent."""
        return self._client.is_connected

    async def send(self, letter: Letter) -> Outcome:
        """One attempt. A refused recipient is gone (RFC 5321 4.2: 5yz is permanent); 4yz is tried again."""
        try:
            await self._client.sendmail(self._sender, [letter.to], letter.message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            code = error.recipients[0].code
            return GiveUp(f"smtp_{code}", gone=True) if code >= 500 else TryAgain(f"smtp_{code}")
        except aiosmtplib.SMTPSenderRefused as error:
            # Our own address is at fault, not the letter: an operator mends it, nothing is lost till then.
            return TryAgain(f"sender_{error.code}")
        except aiosmtplib.SMTPResponseException as error:
            if 500 <= error.code < 600:
                return GiveUp(f"smtp_{error.code}")
            return TryAgain(f"smtp_{error.code}")
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # Broken in the middle: whether it was taken is not known; the same Message-ID goes out again.
            self._client.close()
            return TryAgain(type(error).__name__)
        return Sent()
