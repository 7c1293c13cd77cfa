"""Who counts as one client for limits."""

import ipaddress

from starlette.requests import Request

from shared.web.forwarded import address_of

_NO_ADDRESS = "no address"


def client_of(request: Request) -> str:
    """The client of a request: an IPv4 address, or the /64 of an IPv6 address, which is one customer's.

    Callers without an address, and with text that is none, count as one client together.
    """
    return client_at(request.client.host if request.client else "")


def client_at(host: str) -> str:
    """The same for an address as text."""
    address = address_of(host)
    if address is None:
        return _NO_ADDRESS
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
