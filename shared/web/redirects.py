"""Where a page may send a reader on: only to a path of ours."""

from urllib.parse import quote, urlsplit


def safe_next(wish: str | None) -> str:
    """`wish` if it is a path at this address, else `/`.

    Browsers read a backslash as a slash and drop tabs and line ends, so none of these may stand in it; two
    slashes at the start would name another host.
    """
    if not wish or len(wish) > 2000 or not wish.startswith("/") or wish.startswith("//"):
        return "/"
    if "\\" in wish or any(ord(character) < 0x21 or ord(character) == 0x7F for character in wish):
        return "/"
    try:
        parts = urlsplit(wish)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc:
        return "/"
    return quote(wish, safe="/?&=#%:@!$'()*+,;~-._[]", errors="replace")
