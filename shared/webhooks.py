"""Webhooks of citizens and subscribers: which URLs are accepted, and the secret that signs the calls."""

import base64
import hmac
from urllib.parse import urlsplit


def webhook_url(text: str, *, plain_http: bool) -> str | None:
    """The URL if it is acceptable, else None.

    It must be https (or http with `plain_http`), have a host, no user and no fragment, and at most 2,000
    visible ASCII characters.
    """
    if len(text) > 2000 or any(not 0x21 <= ord(character) <= 0x7E for character in text):
        return None
    try:
        parts = urlsplit(text)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        return None
    schemes = ("https", "http") if plain_http else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.fragment or not port_is_good:
        return None
    if parts.username is not None or parts.password is not None or "\\" in text:
        return None
    return text


def webhook_secret(key: bytes, identifier: str) -> str:
    """A symmetric secret of Standard Webhooks: `whsec_` and HMAC-SHA256(key, id) in base64. Never stored."""
    digest = hmac.digest(key, identifier.encode(), "sha256")
    return f"whsec_{base64.b64encode(digest).decode()}"
