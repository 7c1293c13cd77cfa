"""Which mail addresses and webhook URLs are usable."""

import asyncio
import socket
from typing import Any

import pytest

from services.publisher.domain.addresses import email_address
from services.publisher.push.errors import ForbiddenPort, PrivateAddress, Unresolvable
from services.publisher.push.guard import Guard, is_cloud_platform, is_public
from shared.webhooks import webhook_url


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("resident@example.org", "resident@example.org"),
        ("  Resident+policy@Example.ORG ", "Resident+policy@example.org"),
        ("a@b.cd", "a@b.cd"),
    ],
)
def test_usable_addresses(typed: str, kept: str) -> None:
    assert email_address(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        *("", "resident", "@example.org", "a@b", "a b@example.org", "a@exa mple.org", "a@-x.org", "a@x-.org"),
        *(
            "a@example.org\nBcc: b@example.org",
            "a@example.org,b@example.org",
            "<a@example.org>",
            '"a"@example.org',
        ),
        *(
            "a..b@example.org",
            ".a@example.org",
            "a.@example.org",
            "居民@example.org",
            "a@例子.org",
            "a@[127.0.0.1]",
        ),
        *(
            "x" * 65 + "@example.org",
            "a@" + "x" * 64 + ".org",
            "a@" + "x." * 130 + "org",
            "a@example.org\x00",
        ),
    ],
)
def test_text_that_is_no_address_or_hides_another(typed: str) -> None:
    assert email_address(typed) is None


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.org/",
            "ftp://example.org/",
            "https://",
            "https:///x",
            "//example.org/x",
            "javascript:x",
        ),
        *("https://user@example.org/", "https://user:word@example.org/", "https://example.org/#part"),
        *(
            "https://example.org:0/",
            "https://example.org:99999/",
            "https://exa mple.org/",
            "https://a\\@b.org/",
        ),
        *(
            "https://例子.org/",
            "https://example.org/\r\nHost: x",
            "https://example.org/" + "x" * 2000,
            "https://[::1",
        ),
    ],
)
def test_urls_that_are_refused_as_webhooks(url: str) -> None:
    assert webhook_url(url, plain_http=False) is None


def test_https_is_needed_unless_the_installation_is_private() -> None:
    assert webhook_url("https://example.org:8443/in?x=1", plain_http=False)
    assert webhook_url("http://127.0.0.1:9/in", plain_http=True)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),  # noqa: S104
        *("224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0"),
        *(
            "fc00::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ),
        *("2001:0:7f00:1::", "::127.0.0.1", "not an address"),
    ],
)
def test_addresses_inside_are_not_called_however_they_are_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_called(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "::1", "0"])
async def test_every_spelling_of_this_machine_is_forbidden(host: str) -> None:
    with pytest.raises((PrivateAddress, Unresolvable)):
        await Guard(allow_private=False).resolve(host, 443)


async def test_a_private_installation_may_call_itself() -> None:
    assert await Guard(allow_private=True).resolve("127.0.0.1", 80) == "127.0.0.1"


PLATFORMS = (
    *("168.63.129.16", "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.23", "169.254.42.42"),
    *("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42"),
    *("fd00:c1::a9fe:a9fe", "fd00:0ec2:0:0::254", "fd00:ec2::254%eth0", "FD00:EC2::254"),
    *("::ffff:168.63.129.16", "::ffff:a83f:8110", "64:ff9b::a83f:8110", "64:ff9b::168.63.129.16"),
    *("2002:a83f:8110::1", "::ffff:100.100.100.200", "64:ff9b::a9fe:a9fe", "2002:c000:c0::"),
)
SPELLINGS = (
    *(
        "168.63.129.16",
        "2822734096",
        "0xa83f8110",
        "0xa8.0x3f.0x81.0x10",
        "0250.077.0201.020",
        "168.63.33040",
    ),
    *("169.254.169.254", "2852039166", "169.254.43518", "192.0.0.192", "3221225664", "0xc0.192"),
)


@pytest.mark.parametrize("address", PLATFORMS)
def test_what_a_cloud_serves_to_its_own_machines_is_not_public(address: str) -> None:
    assert is_cloud_platform(address)
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["168.63.129.15", "168.63.129.17", "8.8.8.8", "2606:4700:4700::1111", "::1", ""]
)
def test_its_neighbours_are_no_platform(address: str) -> None:
    assert not is_cloud_platform(address)


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_a_platforms_address_is_called(host: str, allow_private: bool) -> None:
    with pytest.raises(PrivateAddress):
        await Guard(allow_private).resolve(host, 443)


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize("address", PLATFORMS)
async def test_no_name_leads_to_a_platform_beside_another_address(
    address: str, allow_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (each, 443)) for each in ("8.8.8.8", address)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers)
    with pytest.raises(PrivateAddress):
        await Guard(allow_private).resolve("metadata.google.internal", 443)


@pytest.mark.parametrize("port", [0, 22, 25, 80, 442, 444, 6379, 8080, 8444, 9092])
async def test_a_webhook_of_an_older_release_on_another_port_is_not_called(port: int) -> None:
    with pytest.raises(ForbiddenPort):
        await Guard(allow_private=False).resolve("8.8.8.8", port)
    assert await Guard(allow_private=True).resolve("127.0.0.1", port) == "127.0.0.1"


@pytest.mark.parametrize("port", [443, 8443])
async def test_both_ports_of_webhooks_are_called(port: int) -> None:
    assert await Guard(allow_private=False).resolve("8.8.8.8", port) == "8.8.8.8"
