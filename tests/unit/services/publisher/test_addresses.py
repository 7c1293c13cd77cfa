"""Which mail addresses and webhook URLs are usable."""

import pytest

from services.publisher.domain.addresses import email_address
from services.publisher.push.errors import PrivateAddress, Unresolvable
from services.publisher.push.guard import Guard, is_public
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
