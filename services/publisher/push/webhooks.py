"""The webhook lane: Standard Webhooks, signed, to one pinned address, without following redirects."""

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
from services.publisher.push.guard import Forbidden, Guard, Unresolvable
from services.publisher.push.rendering import RenderedWebhook
from shared.clock import machine_now

ATTEMPT_SECONDS = 15.0
_MOST_ECHO = 4096
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
    """Calls subscribers' endpoints. An async context manager, as it keeps connections.

    `tls` replaces the well-known authorities (those of certifi).
    """

    def __init__(self, guard: Guard, tls: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        # trust_env off: a proxy from the environment would undo the pinning.
        self._client = httpx.AsyncClient(
            timeout=10, follow_redirects=False, trust_env=False, verify=tls or True
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def deliver(self, identifier: str, call: RenderedWebhook) -> DeliveryResult:
        """One attempt. 2xx is sent; 410 ends the subscription; all else is tried again.

        A private address is given up without an end: it may be our own resolver or setting that is wrong.
        """
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status, headers, _ = await self._post(call.url, identifier, call.body, call.secrets, read=0)
        except Forbidden:
            return GiveUp("private_address")
        except _NO_ANSWER as error:
            return TryAgain(type(error).__name__)
        if 200 <= status < 300:
            return Delivered()
        if status == 410:
            return GiveUp("http_410", gone=True)
        return TryAgain(f"http_{status}", _retry_after(headers), reached=True)

    async def echoes(self, url: str, identifier: str, secret: str) -> bool:
        """Whether the endpoint answers the challenge: 200 and a body that holds it. Raises Forbidden."""
        challenge = random_secrets.token_urlsafe(24)
        body = orjson.dumps({"type": "subscription.challenge", "data": {"challenge": challenge}})
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status, _, answer = await self._post(url, identifier, body, (secret,), read=_MOST_ECHO)
        except _NO_ANSWER:
            return False
        return status == 200 and _echoed(answer, challenge)

    async def _post(
        self, url: str, identifier: str, body: bytes, secrets: Sequence[str], *, read: int
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
            answer = b""
            if read:
                async for chunk in response.aiter_bytes():
                    answer += chunk
                    if len(answer) > read:
                        break
            return response.status_code, response.headers, answer[:read]
        finally:
            await response.aclose()


def _echoed(answer: bytes, challenge: str) -> bool:
    try:
        told = orjson.loads(answer)
        echo = told.get("challenge") if isinstance(told, dict) else None
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
