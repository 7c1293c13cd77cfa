"""Keys by purpose; which webhooks are accepted and how their calls are signed."""

import base64

import pytest

from shared.keys import derive
from shared.webhooks import webhook_secret, webhook_url

SECRET = "5e" * 32


def test_a_key_has_32_bytes_and_one_purpose() -> None:
    assert len(derive(SECRET, "a")) == 32
    assert derive(SECRET, "a") == derive(SECRET, "a")
    assert len({derive(SECRET, "a"), derive(SECRET, "b"), derive("00" * 32, "a")}) == 3


@pytest.mark.parametrize("secret", ["", "5e" * 31, "not hexadecimal " * 8])
def test_a_weak_secret_is_refused_with_the_way_to_make_one(secret: str) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes of hex: make one with `openssl rand -hex 32`"):
        derive(secret, "a")


@pytest.mark.parametrize(
    "url", ["https://a.example/hook", "https://a.example:8443/?x=1", "https://[2001:db8::1]/", "https://a"]
)
def test_an_https_url_with_a_host_is_accepted(url: str) -> None:
    assert webhook_url(url, plain_http=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "ftp://a.example/",
        "https:///path",
        "https://",
        "a.example/hook",
        "https://user@a.example/",
        "https://user:pw@a.example/",
        "https://@a.example/",
        "https://a.example/#part",
        "https://a.example/a b",
        "https://路灯.example/",
        "https://a.example\\@b.example/",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://a.example:80/",
        "https://a.example:22/",
        "https://a.example:8444/",
        "https://a.example:444/",
        "https://[2001:db8::1]:6379/",
        "https://a.example:044300/",
        "https://a.example:-443/",
        "https://[::1/",
        "https://a.example/" + "x" * 2000,
        "",
    ],
)
def test_any_other_url_is_not(url: str) -> None:
    assert webhook_url(url, plain_http=False) is None


@pytest.mark.parametrize("url", ["https://a.example:443/", "https://a.example:0443/", "https://a.example:/"])
def test_the_usual_port_may_be_written(url: str) -> None:
    assert webhook_url(url, plain_http=False) == url


def test_plain_http_is_accepted_only_if_it_is_allowed() -> None:
    assert webhook_url("http://127.0.0.1:8080/", plain_http=True) == "http://127.0.0.1:8080/"
    assert webhook_url("ftp://127.0.0.1/", plain_http=True) is None


def test_a_webhooks_secret_is_that_of_standard_webhooks() -> None:
    secret = webhook_secret(b"key", "subscription-1")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secret != webhook_secret(b"key", "subscription-2")
