"""Who counts as one client."""

import pytest

from shared.web.clients import client_at


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv4_address_or_a_64_is_one_client(host: str, client: str) -> None:
    assert client_at(host) == client


@pytest.mark.parametrize("host", ["", "junk", "x" * 60_000, "1.2.3", "192.0.2.07", "居民", "\0"])
def test_what_is_no_address_is_one_client_together(host: str) -> None:
    assert client_at(host) == client_at("")
