"""The client of a request behind proxies: X-Forwarded-For is read from its end, as far as proxies are known.

Each proxy appends whom it was called by. What a known proxy appended is believed; what stands before that was
written by a stranger. uvicorn has such a middleware too, but takes any text for an address.
"""

import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.settings import proxy_networks

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_MOST_HOPS = 16
_LONGEST = 64
"""Of an entry: `[` IPv6 `%` zone `]:` port. A longer one is no address."""


class ForwardedMiddleware:
    """Sets the client, and the scheme by X-Forwarded-Proto, if a known proxy calls.

    The client is the first address from the end that is no known proxy's. At an entry that is no address the
    way ends: then the client is the last known proxy, which is at least one that exists. Ports and zones are
    left out.

    Parameters
    ----------
    app
        The application inside.
    trusted
        The known proxies: addresses and networks, separated by commas; `*` for all.
    """

    def __init__(self, app: ASGIApp, *, trusted: str) -> None:
        self._app = app
        self._all = trusted.strip() == "*"
        self._networks = [] if self._all else proxy_networks(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client")
            caller = address_of(client[0]) if client else None
            if self._all or (caller is not None and self._knows(caller)):
                self._believe(scope, caller)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope, caller: _Address | None) -> None:
        given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        schemes = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
        if schemes and schemes[-1].strip() in (b"http", b"https"):
            scope["scheme"] = schemes[-1].strip().decode()
        client = caller
        for entry in reversed(b",".join(given).decode("latin-1").split(",")[-_MOST_HOPS:]):
            hop = address_of(entry)
            if hop is None:
                break
            client = hop
            if not self._all and not self._knows(hop):
                break
        if client is not caller:
            scope["client"] = (str(client), 0)

    def _knows(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def address_of(entry: str) -> _Address | None:
    """The address of an entry, without port and zone; IPv4 within IPv6 is IPv4. None if it is no address."""
    text = entry.strip()
    if not 0 < len(text) <= _LONGEST:
        return None
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port)):
            return None
    elif text.count(":") == 1:
        text, port = text.split(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text[0] == ":" and digits.isascii() and digits.isdecimal() and len(digits) <= 5
