"""Webhooks of citizens and subscribers: which URLs are accepted, and the secret that signs the calls."""

import base64
import hmac
from urllib.parse import urlsplit

PORTS = frozenset({443, 8443})
"""The only ones that are called on the public internet: others belong to servers of another kind."""


def webhook_url(text: str, *, plain_http: bool) -> str | None:
    """The URL if it is acceptable, else None.

    It must be https on one of PORTS (with `plain_http` also http, and any port), have a host, no user and no
    fragment, and at most 2,000 visible ASCII characters.
    """
    if len(text) > 2000 or any(not 0x21 <= ord(character) <= 0x7E for character in text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    schemes = ("https", "http") if plain_http else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.fragment:
        return None
    if port is not None and (port == 0 if plain_http else port not in PORTS):
        return None
    if parts.username is not None or parts.password is not None or "\\" in text:
        return None
    return text


def webhook_secret(key: bytes, identifier: str) -> str:
    """A symmetric secret of Standard Webhooks: `whsec_` and HMAC-SHA256(key, id) in base64. Never stored."""
    digest = hmac.digest(key, identifier.encode(), "sha256")
    return f"whsec_{base64.b64encode(digest).decode()}"
