"""Which e-mail addresses we send to."""

import re

# The common subset of RFC 5321: ASCII without quoting, comments or address literals (more needs SMTPUTF8).
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+"
)


def email_address(text: str) -> str | None:
    """The address with its domain in lower case; None if we do not send to it."""
    stripped = text.strip()
    if len(stripped) > 254 or not _EMAIL.fullmatch(stripped):
        return None
    local, _, domain = stripped.rpartition("@")
    if local.startswith(".") or local.endswith(".") or ".." in local:
        return None
    return f"{local}@{domain.lower()}"
