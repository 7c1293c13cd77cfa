"""The webhook lane: signed as Standard Webhooks, to one pinned address, following no redirects."""

import asyncio
import datetime as dt
import email.utils
import hmac
import secrets as random_secrets
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
import orjson
from standardwebhooks import Webhook

from services.publisher.domain.delivery_results import Delivered, DeliveryResult, GiveUp, TryAgain
from services.publisher.push.errors import ForbiddenPort, PrivateAddress, Unresolvable
from services.publisher.push.guard import Guard
from services.publisher.push.rendering import RenderedWebhook
from shared.bounded_client import BoundedClient
from shared.clock import machine_now

ATTEMPT_SECONDS = 15.0
_LONGEST_ECHO = 4096
_NO_ANSWER = (Unresolvable, TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError)


def signed_headers(
    identifier: str, moment: dt.datetime, body: bytes, secrets: Sequence[str]
) -> dict[str, str]:
    """The three headers of Standard Webhooks for `body` (UTF-8); one signature per secret."""
    signatures = [Webhook(secret).sign(identifier, moment, body.decode()) for secret in secrets]
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class Webhooks:
    """Calls endpoints. An async context manager, since it pools connections.

    `guard` resolves and checks hosts; `tls` replaces the certificate authorities of certifi.
    """

    def __init__(self, guard: Guard, tls: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        # trust_env off: a proxy from the environment would undo the pinning.
        self._client = BoundedClient(
            most_bytes=_LONGEST_ECHO,
            seconds=ATTEMPT_SECONDS,
            timeout=10,
            follow_redirects=False,
            trust_env=False,
            verify=tls or True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def deliver(self, identifier: str, call: RenderedWebhook) -> DeliveryResult:
        """One attempt, under the delivery's id. 2xx: delivered; 410: gone; anything else is tried again.

        A private address or a forbidden port is given up but does not count as gone: our own resolver or
        setting may be wrong.
        """
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status, headers, _ = await self._post(
                    call.url, identifier, call.body, call.secrets, read=False
                )
        except PrivateAddress:
            return GiveUp("private_address")
        except ForbiddenPort:
            return GiveUp("forbidden_port")
        except _NO_ANSWER as error:
            return TryAgain(type(error).__name__)
        if 200 <= status < 300:
            return Delivered()
        if status == 410:
            return GiveUp("http_410", gone=True)
        return TryAgain(f"http_{status}", _retry_after(headers), reached=True)

    async def echoes(self, url: str, identifier: str, secret: str) -> bool:
        """Whether the endpoint echoes a challenge: 200, with it as text or as the JSON member `challenge`.

        Raises PrivateAddress. The port is one that `webhook_url` has accepted.
        """
        challenge = random_secrets.token_urlsafe(24)
        body = orjson.dumps({"type": "subscription.challenge", "data": {"challenge": challenge}})
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status, _, answer = await self._post(url, identifier, body, (secret,), read=True)
        except _NO_ANSWER:
            return False
        return status == 200 and _echoed(answer, challenge)

    async def _post(
        self, url: str, identifier: str, body: bytes, secrets: Sequence[str], *, read: bool
    ) -> tuple[int, Mapping[str, str], bytes]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await self._guard.resolve(host, port)
        literal = f"[{address}]" if ":" in address else address
        pinned = parts._replace(netloc=f"{literal}:{port}").geturl()
        headers = {
            "host": parts.netloc,
            "content-type": "application/json",
            "user-agent": "Civicloom-Webhooks/1",
            **signed_headers(identifier, machine_now(), body, secrets),
        }
        request = self._client.build_request(
            "POST", pinned, content=body, headers=headers, extensions={"sni_hostname": host}
        )
        response = await self._client.send(request, stream=True)
        try:
            answer = await response.aread() if read else b""
            return response.status_code, response.headers, answer
        finally:
            await response.aclose()


def _echoed(answer: bytes, challenge: str) -> bool:
    try:
        body = orjson.loads(answer)
        echo = body.get("challenge") if isinstance(body, dict) else None
    except orjson.JSONDecodeError:
        echo = answer.decode("utf-8", "replace").strip()
    return isinstance(echo, str) and hmac.compare_digest(echo.encode(), challenge.encode())


def _retry_after(headers: Mapping[str, str]) -> dt.timedelta | None:
    """Retry-After (RFC 9110 10.2.3): seconds or a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return dt.timedelta(seconds=min(int(value[:9]), 10**8))
    try:
        wait = email.utils.parsedate_to_datetime(value) - machine_now()
    except (ValueError, TypeError):
        return None
    return max(wait, dt.timedelta())
