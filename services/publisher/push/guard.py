"""Guards against SSRF: a webhook never reaches our own network. The host is resolved once and pinned."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

from services.publisher.push.errors import ForbiddenPort, PrivateAddress, Unresolvable
from shared.webhooks import PORTS

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What a cloud serves to its own machines, credentials among it. Some of it is public by its number.
_CLOUD_PLATFORMS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure
        "169.254.0.0/16",  # AWS (169.254.169.254, 169.254.170.2), Google, Azure, Tencent (169.254.0.23) ...
        "100.100.0.0/16",  # Alibaba (100.100.100.200)
        "192.0.0.0/24",  # Oracle (192.0.0.192)
        "fd00:ec2::/32",  # AWS (fd00:ec2::254, fd00:ec2::23)
        "fd00:c1::/32",  # Oracle
        "fd00:42::/32",  # Scaleway
        "fd20:ce::/32",  # Google (fd20:ce::254)
    )
)


@dataclass(frozen=True, slots=True)
class Guard:
    """`allow_private` allows any port and address but those of cloud platforms.

    It is for tests and private installations; those may stand in a cloud too.
    """

    allow_private: bool

    async def resolve(self, host: str, port: int) -> str:
        """The one address to call.

        Raises Unresolvable if the host has no address, PrivateAddress if any of its addresses is private, and
        else ForbiddenPort. Any, not all: a name with a public and a private address is an attack, no mistake.
        """
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unresolvable(host) from error
        addresses = [entry[4][0] for entry in found]
        if not addresses:
            raise Unresolvable(host)
        if not all(self._allows(str(address)) for address in addresses):
            raise PrivateAddress(host)
        if not self.allow_private and port not in PORTS:
            raise ForbiddenPort(f"{host}:{port}")
        return str(addresses[0])

    def _allows(self, address: str) -> bool:
        return is_public(address) or (self.allow_private and not is_cloud_platform(address))


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
        inner = _embedded(address)
        if inner is None and address.teredo is not None:
            return False
        if inner is not None:
            return is_public(str(inner))
    if is_cloud_platform(text):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_cloud_platform(text: str) -> bool:
    """Whether a cloud serves its own machines at the IP address, or at the IPv4 address that it embeds."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    return any((inner or address) in network for network in _CLOUD_PLATFORMS)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
