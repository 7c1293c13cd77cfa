"""The HTTP client of everything that calls out: no answer costs more memory or time than its caller allows.

Any peer may be hostile: the owner of a webhook, the holder of a provider's name, the site of a log.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx

MOST_BYTES = "most_bytes"
"""The extension by which one request allows its answer another number of bytes than its client does."""
_DEADLINE = "civicloom.deadline"


class AnswerTooLong(httpx.RequestError):
    """The body goes beyond the bound; nothing behind that is read."""


class UnwantedEncoding(httpx.RequestError):
    """The body is packed, though `identity` was asked for; it is not unpacked."""


class BoundedClient(httpx.AsyncClient):
    """httpx's client, which reads answers as they are sent and only up to a bound.

    Asking for `identity` is no protection by itself: httpx unpacks whatever the answer says it is, and one
    piece of 64 kB of twice-packed zeros becomes gigabytes before anybody can count them.

    Parameters
    ----------
    most_bytes
        Of a body, redirects too. A longer one raises AnswerTooLong.
    seconds
        For one call with all its redirects, from the connection to the last byte of the body; also of one
        that is streamed. Then httpx.ReadTimeout: the time-outs of httpx begin again with every byte.
    options
        Those of httpx.AsyncClient.
    """

    def __init__(self, *, most_bytes: int, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._most_bytes = most_bytes
        self._seconds = seconds
        # Hooks are called before a body is read, also for each redirect and in clients of libraries.
        self.event_hooks = {"request": [_ask_for_identity], "response": [self._bound]}

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """As httpx does. Raises httpx.RequestError, of which the two above are kinds."""
        deadline = asyncio.get_running_loop().time() + self._seconds
        request.extensions = {**request.extensions, _DEADLINE: deadline}
        try:
            async with asyncio.timeout_at(deadline):
                return await super().send(request, **options)
        except TimeoutError:
            raise _late(request) from None

    async def _bound(self, response: httpx.Response) -> None:
        most = response.request.extensions.get(MOST_BYTES, self._most_bytes)
        response.stream = _BoundedStream(response, cast(httpx.AsyncByteStream, response.stream), most)


async def _ask_for_identity(request: httpx.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"


class _BoundedStream(httpx.AsyncByteStream):
    """The body of `response`; raises instead of giving more than `most` bytes, or any that are packed."""

    def __init__(self, response: httpx.Response, inner: httpx.AsyncByteStream, most: int) -> None:
        self._response = response
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        request = self._response.request
        deadline = request.extensions[_DEADLINE]
        pieces = aiter(self._inner)
        received = 0
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(pieces, None)
            except TimeoutError:
                raise _late(request) from None
            if piece is None:
                return
            received += len(piece)
            self._check(request, received)
            yield piece

    def _check(self, request: httpx.Request, received: int) -> None:
        if not received:
            return  # an answer without a body may say what it likes of its encoding
        encodings = self._response.headers.get("content-encoding", "identity")
        if any(name.strip().lower() not in ("identity", "") for name in encodings.split(",")):
            raise UnwantedEncoding(
                f"the answer is packed ({encodings[:40]}), though it was asked for as it is (identity)",
                request=request,
            )
        if received > self._most:
            raise AnswerTooLong(f"more than {self._most} bytes", request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _late(request: httpx.Request) -> httpx.ReadTimeout:
    return httpx.ReadTimeout("the whole answer was not there in time", request=request)
