"""Which e-mail addresses we send to, and what URL a webhook may have."""

import re
from urllib.parse import urlsplit

# RFC 5321's everyday part: no quoting, no comments, no address literals, ASCII. Others would need SMTPUTF8.
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+"
)


def email_address(text: str) -> str | None:
    """The address with its domain in lower case, or None if it is none that we send to."""
    stripped = text.strip()
    if len(stripped) > 254 or not _EMAIL.fullmatch(stripped):
        return None
    local, _, domain = stripped.rpartition("@")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        return None
    return f"{local}@{domain.lower()}"


def webhook_url(text: str, *, plain_http: bool) -> str | None:
    """The URL, or None if it is none that we call: https, a host, no user, no fragment, ASCII, no spaces."""
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
