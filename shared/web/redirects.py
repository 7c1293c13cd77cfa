"""Redirects to paths of this address only."""

from urllib.parse import quote, urlsplit


def safe_next(wanted: str | None) -> str:
    """`wanted` if it is a path at this address, else `/`.

    Browsers treat a backslash as a slash and drop tabs and line ends, so these are refused; two slashes at
    the start would name another host.
    """
    if not wanted or len(wanted) > 2000 or not wanted.startswith("/") or wanted.startswith("//"):
        return "/"
    if "\\" in wanted or any(ord(character) < 0x21 or ord(character) == 0x7F for character in wanted):
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc:
        return "/"
    return quote(wanted, safe="/?&=#%:@!$'()*+,;~-._[]", errors="replace")
