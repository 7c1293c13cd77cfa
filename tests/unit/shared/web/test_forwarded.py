"""Who the client is behind proxies, whatever X-Forwarded-For says."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from shared.settings import CoreSettings
from shared.web.forwarded import ForwardedMiddleware, address_of

PROXY = "10.0.0.1"
CLIENT = "198.51.100.2"


async def client_behind(
    *forwarded: str, caller: str | None = PROXY, trusted: str = "10.0.0.0/8", scheme: str | None = None
) -> tuple[str | None, str]:
    """The client's host and the scheme that the application inside sees."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, *_: object) -> None:
        seen.update(scope)

    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    headers += [(b"x-forwarded-proto", scheme.encode())] if scheme is not None else []
    client = (caller, 5000) if caller is not None else None
    scope = {"type": "http", "scheme": "http", "client": client, "headers": headers}
    await ForwardedMiddleware(app, trusted=trusted)(scope, None, None)  # type: ignore[arg-type]
    return (seen["client"][0] if seen["client"] else None), seen["scheme"]


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], PROXY),
        ([CLIENT], CLIENT),
        ([f"192.0.2.1, {CLIENT}"], CLIENT),
        ([f"junk, {CLIENT}"], CLIENT),
        ([f"{CLIENT}, 10.0.0.2, 10.0.0.3"], CLIENT),
        ([CLIENT, "10.0.0.2"], CLIENT),
        ([f"  {CLIENT}\t"], CLIENT),
        ([f"{CLIENT}:41234"], CLIENT),
        (["2001:db8::7"], "2001:db8::7"),
        (["[2001:db8::7]"], "2001:db8::7"),
        (["[2001:db8::7]:443"], "2001:db8::7"),
        (["fe80::1%eth0"], "fe80::1"),
        (["[fe80::1%25eth0]:443"], "fe80::1"),
        (["::ffff:198.51.100.2"], CLIENT),
        (["2001:DB8:0::7"], "2001:db8::7"),
    ],
)
async def test_the_client_is_the_last_address_that_is_no_proxys(
    forwarded: Sequence[str], client: str
) -> None:
    assert (await client_behind(*forwarded))[0] == client


JUNK = (
    *(
        "",
        " ",
        ",",
        "unknown",
        "_hidden",
        "for=198.51.100.2",
        "198.51.100",
        "198.51.100.256",
        "198.51.100.02",
    ),
    *("198.51.100.2:", "198.51.100.2:x", "198.51.100.2:123456", "198.51.100.2:-1", "198.51.100.2 10.0.0.9"),
    *("[2001:db8::7", "2001:db8::7]", "[2001:db8::7]443", "[2001:db8::7]:", "[]", "[", "::1::", "::1/64"),
    *("198.51.100.2/32", "0x7f.1", "2130706433", "a" * 60_000, "\xe9", "\x85", "²", "fe80::1%" + "z" * 100),
)


@pytest.mark.parametrize("junk", JUNK)
async def test_at_junk_the_client_is_the_last_known_proxy(junk: str) -> None:
    assert (await client_behind(junk))[0] == PROXY
    assert (await client_behind(f"{CLIENT},{junk}"))[0] == PROXY
    assert (await client_behind(f"{CLIENT}, {junk}, 10.0.0.2"))[0] == "10.0.0.2"
    assert (await client_behind(f"{CLIENT}, {junk}, 10.0.0.2", trusted="*"))[0] == "10.0.0.2"


async def test_a_trailing_comma_makes_no_address_and_no_spoofed_one() -> None:
    assert (await client_behind(f"{CLIENT},"))[0] == PROXY
    assert (await client_behind(f"{CLIENT},,10.0.0.2", trusted="*"))[0] == "10.0.0.2"


@pytest.mark.parametrize("caller", ["192.0.2.9", "::1", None])
async def test_a_caller_that_is_no_known_proxy_is_the_client(caller: str | None) -> None:
    assert await client_behind(CLIENT, caller=caller, scheme="https") == (caller, "http")


async def test_a_proxy_that_calls_by_ipv6_is_known_by_its_ipv4_address() -> None:
    assert (await client_behind(CLIENT, caller="::ffff:10.0.0.1"))[0] == CLIENT


async def test_when_all_are_known_the_client_is_the_farthest() -> None:
    assert (await client_behind("10.0.0.3, 10.0.0.2"))[0] == "10.0.0.3"
    assert (await client_behind(f"{CLIENT}, 10.0.0.2", caller=None, trusted="*"))[0] == CLIENT


async def test_a_way_without_an_end_is_followed_for_some_hops() -> None:
    proxies = ", ".join(f"10.0.{number // 250}.{number % 250}" for number in range(5000))
    assert (await client_behind(f"{CLIENT}, {proxies}"))[0] == "10.0.19.234"


@pytest.mark.parametrize(
    ("given", "scheme"),
    [("https", "https"), (" https ", "https"), ("ftp", "http"), ("", "http"), (None, "http")],
)
async def test_the_scheme_is_what_the_proxy_says(given: str | None, scheme: str) -> None:
    assert (await client_behind(CLIENT, scheme=given))[1] == scheme


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=80), max_size=20))
async def test_whatever_is_sent_the_client_is_an_address(entries: list[str]) -> None:
    for trusted in ("*", "10.0.0.0/8"):
        host, _ = await client_behind(",".join(entries), trusted=trusted)
        assert host is not None
        assert str(address_of(host)) == host


@pytest.mark.parametrize("text", ["127.0.0.1", "*", "10.0.0.0/8, ::1", "", "2001:db8::/32,"])
def test_proxies_are_addresses_and_networks(text: str) -> None:
    assert CoreSettings(secret_key=SecretStr("1" * 64), trusted_proxies=text).trusted_proxies == text


@pytest.mark.parametrize(
    "text", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1 10.0.0.1", "*, 10.0.0.1"]
)
def test_other_proxies_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValidationError, match="expected addresses and networks"):
        CoreSettings(secret_key=SecretStr("1" * 64), trusted_proxies=text)
