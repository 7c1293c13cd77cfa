"""Where a webhook may lead: never into our own network (SSRF). Resolved once, and that address is called."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Forbidden(Exception):
    """The host is, or resolves to, an address that is not on the public internet."""


class Unresolvable(Exception):
    """The name has no address, at least not now."""


@dataclass(frozen=True, slots=True)
class Guard:
    """`allow_private` lets everything pass: for tests and private installations."""

    allow_private: bool

    async def resolve(self, host: str, port: int) -> str:
        """The one address to call. Raises Forbidden if any of the host's addresses is private, Unresolvable.

        Any, not all: a name with a public and a private address is an attack, not a mistake.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unresolvable(host) from error
        addresses = [entry[4][0] for entry in found]
        if not addresses:
            raise Unresolvable(host)
        if not self.allow_private and not all(is_public(str(address)) for address in addresses):
            raise Forbidden(host)
        return str(addresses[0])


def is_public(text: str) -> bool:
    """Whether the IP address is one that anybody may reach, also where it hides an IPv4 address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        # fec0::/10 was withdrawn by RFC 3879, but is still routed inside; is_global takes it for public.
        if address.is_site_local:
            return False
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            return False
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved
