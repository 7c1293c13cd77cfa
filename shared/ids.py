"""Identifiers: UUIDv7 for new events, UUIDv8 for derived ones, and case numbers that can be read aloud."""

import datetime as dt
import hashlib
import hmac
import re
from zoneinfo import ZoneInfo

from shared.random_bytes import sixteen

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in CROCKFORD for second in CROCKFORD]
_NIL = "00000000-0000-0000-0000-000000000000"
_CHECK = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHECK_VALUES = {character: value for value, character in enumerate(_CHECK)}
_DOUBLED = [(total or 36) * 2 % 37 for total in range(36)]
_AMBIGUOUS = str.maketrans("ILO", "110")
_IS_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def new_id(now: dt.datetime) -> str:
    """A UUIDv7 (RFC 9562, 5.7): 48 bits of milliseconds of `now`, then 74 random bits."""
    return _spelled(int(now.timestamp() * 1000), "7", sixteen().hex())


def derived_id(cause: str, event_type: str, target: str = "", *, milliseconds: int | None = None) -> str:
    """The UUIDv8 (RFC 9562, 5.8) of an event that a handler derives: the same on every replay.

    The first 48 bits are the cause's time and keep indexes ordered; the rest is SHA-256 over cause, type and
    target. A cause that is no UUID (a unit's action may have any id) needs its time in `milliseconds`.
    Raises ValueError for such a cause without it, and for a time that does not fit into 48 bits.
    """
    digest = hashlib.sha256(f"{cause}\n{event_type}\n{target}".encode()).hexdigest()
    if milliseconds is None:
        milliseconds = int(cause.replace("-", "")[:12], 16)
    return _spelled(milliseconds, "8", digest)


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in the one spelling that we use: lower case, with dashes."""
    return _IS_ID(text) is not None


def trace_id(correlation: str) -> str:
    """The 32 hex digits that stand for a correlation id in logs and traces: a UUID without its dashes.

    For other text, and the nil UUID (W3C Trace Context 3.2.2.3 forbids zeros), the first 16 bytes of the
    text's SHA-256.
    """
    if is_id(correlation) and correlation != _NIL:
        return correlation.replace("-", "")
    return hashlib.sha256(correlation.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def moment_of(identifier: str) -> dt.datetime:
    """The moment in a UUIDv7 or a derived UUIDv8, in milliseconds, UTC."""
    return dt.datetime.fromtimestamp(int(identifier.replace("-", "")[:12], 16) / 1000, dt.UTC)


def floor_id(moment: dt.datetime) -> str:
    """A text that sorts before every id of this moment and after every id of an earlier millisecond."""
    return f"{(digits := f'{int(moment.timestamp() * 1000):012x}')[:8]}-{digits[8:]}"


def case_number(identifier: str, zone: ZoneInfo) -> str:
    """The case number: local date, ten Crockford characters of the id's random bits, a check character.

    A pure function of the id, so that it is known as soon as the id is. Example: `20261124-7K3M9Q2XWB-F`.
    """
    value = int(identifier.replace("-", ""), 16)
    local = moment_of(identifier).astimezone(zone)
    day = f"{local.year:04}{local.month:02}{local.day:02}"
    body = _crockford(value & (1 << 50) - 1, 10)
    return f"{day}-{body}-{_check_character(day + body)}"


def read_case_number(text: str) -> str | None:
    """The case number in its canonical spelling; None if length, characters or check are wrong.

    Accepts lower case, spaces, missing dashes, and I, L, O for 1, 1, 0.
    """
    characters = "".join(text.upper().split()).replace("-", "").replace("–", "").translate(_AMBIGUOUS)
    if len(characters) != 19:
        return None
    day, body, check = characters[:8], characters[8:18], characters[18]
    if not day.isdecimal() or not day.isascii() or any(c not in CROCKFORD for c in body):
        return None
    expected = _check_character(day + body)
    if expected.translate(_AMBIGUOUS) != check:
        return None
    return f"{day}-{body}-{expected}"


def case_secret(key: bytes, identifier: str) -> str:
    """The secret of a case: 80 bits of HMAC-SHA256(key, id), so that it is not stored anywhere.

    Sixteen Crockford characters in groups of four: `7K3M-9Q2X-WB5R-0ABC`.
    """
    digest = hmac.digest(key, identifier.encode(), "sha256")
    text = _crockford(int.from_bytes(digest[:10], "big"), 16)
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


def secret_hash(secret: str) -> str:
    """SHA-256 in hex of a secret in its canonical spelling; event and table store only this."""
    plain = "".join(secret.upper().split()).replace("-", "").translate(_AMBIGUOUS)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _spelled(milliseconds: int, version: str, hex_digits: str) -> str:
    """A UUID: 48 bits of time, the version, and digits but for the first, the fifth with the variant 10."""
    if milliseconds >> 48:
        raise ValueError(f"{milliseconds} ms do not fit into the 48 bits of time of a UUID")
    time, h = f"{milliseconds:012x}", hex_digits
    return f"{time[:8]}-{time[8:]}-{version}{h[1:4]}-{'89ab'[int(h[4], 16) & 3]}{h[5:8]}-{h[8:20]}"


def _crockford(value: int, length: int) -> str:
    """The lowest `length` characters, an even number, two at a time."""
    return "".join([_PAIRS[value >> 5 * i & 1023] for i in range(length - 2, -1, -2)])


def _check_character(characters: str) -> str:
    """ISO 7064 MOD 37,36: detects every single wrong character and nearly every swap of neighbours."""
    total = 36
    for character in characters:
        total = _DOUBLED[(total + _CHECK_VALUES[character]) % 36]
    return _CHECK[(37 - total) % 36]
