"""Guards against SSRF: a webhook never reaches our own network. The host is resolved once and pinned."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

from services.publisher.push.errors import PrivateAddress, Unresolvable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Guard:
    """`allow_private` allows any address: for tests and private installations."""

    allow_private: bool

    async def resolve(self, host: str, port: int) -> str:
        """The one address to call.

        Raises Unresolvable if the host has no address, PrivateAddress if any of its addresses is private.
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
            raise PrivateAddress(host)
        return str(addresses[0])


def is_public(text: str) -> bool:
    """Whether the IP address is on the public internet; one that embeds an IPv4 address is judged by that."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        # RFC 3879 withdrew fec0::/10, but networks still route it internally; is_global counts it as public.
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
