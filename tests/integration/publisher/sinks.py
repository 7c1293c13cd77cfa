"""A mail server and a webhook endpoint on loopback, which answer as a test says."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class MailSink:
    """Takes mails; `refusals` are answers to the next recipients, `data_refusals` to the next contents.

    `blocked` answers every recipient until it is taken back, but only that of `blocked_for` if one is named;
    `sender_blocked` answers every sender.
    """

    url: str = ""
    refusals: list[str] = field(default_factory=list)
    data_refusals: list[str] = field(default_factory=list)
    blocked: str | None = None
    blocked_for: str | None = None
    sender_blocked: str | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Shut (cleared) it holds the next message after the first; `reached` is set when one is held."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def handle_MAIL(  # noqa: N802  (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.sender_blocked:
            return self.sender_blocked
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refusals:
            return self.refusals.pop(0)
        if self.blocked and self.blocked_for in (None, address):
            return self.blocked
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_refusals:
            return self.data_refusals.pop(0)
        if self.mails and not self.gate.is_set():
            self.reached.set()
            await self.gate.wait()
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        return "250 OK"

    def ids(self) -> list[str]:
        """The Message-IDs of the accepted mails. No property: aiosmtpd reads those at each connection."""
        return [message["Message-ID"] for message in self.mails]


@asynccontextmanager
async def mail_sink() -> AsyncIterator[MailSink]:
    sink = MailSink()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(sink, hostname="sink", enable_SMTPUTF8=True), "127.0.0.1", 0
    )
    sink.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield sink
    finally:
        server.close()


@dataclass(frozen=True)
class Call:
    """A received request."""

    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class HookSink:
    """Takes webhooks; `answers` are (status, headers) for the next calls, then 204. Challenges are echoed."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    echo: bool = True
    server: asyncio.Server | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Shut (cleared) it holds every delivery; `reached` is set when one is held."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def close(self) -> None:
        """Stops listening at the URL."""
        assert self.server is not None
        self.server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        call = Call(headers, await reader.readexactly(int(headers.get("content-length", "0"))))
        if call.content["type"] == "subscription.challenge":
            answer = call.content["data"]["challenge"] if self.echo else "no"
            writer.write(_response(200, {}, answer.encode()))
        else:
            self.reached.set()
            await self.gate.wait()
            self.calls.append(call)
            status, extra = self.answers.pop(0) if self.answers else (204, {})
            writer.write(_response(status, extra, b""))
        await writer.drain()
        writer.close()


def _response(status: int, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def hook_sink(tls: ssl.SSLContext | None = None) -> AsyncIterator[HookSink]:
    sink = HookSink()
    server = sink.server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, ssl=tls)
    sink.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
    try:
        yield sink
    finally:
        server.close()
