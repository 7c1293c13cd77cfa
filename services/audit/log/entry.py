"""The public entry of one record, which is permanent. README.md in this folder specifies it.

An entry is canonical JSON (RFC 8785): members sorted, no white space, ASCII. It holds no id, no text and no
value, only a commitment to the value, so nothing in it ever needs to be erased.
"""

import datetime as dt
import functools
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from services.audit.log.errors import Malformed
from services.audit.log.tiles import MAX_ENTRY_BYTES

VERSION = 1
BUCKET_SECONDS = 600
LAST_MS = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970."""

Members = Mapping[str, str | int]


def commitment(value: bytes) -> str:
    """SHA-256(0x02 || value) in hex; the producer's `salt` inside the value makes it unguessable."""
    return hashlib.sha256(b"\2" + value).hexdigest()


def salted_commitment(salt: bytes, value: bytes) -> str:
    """SHA-256(0x04 || salt || value) in hex, for values that hold no salt; `salt` has 16 bytes."""
    return hashlib.sha256(b"\4" + salt + value).hexdigest()


def pseudonym(subject_key: bytes, source: str) -> str:
    """The pseudonym of a subject in the entries of one source: 16 bytes of HMAC-SHA256 in hex.

    Derived from the subject's random key, so that it reveals nothing once that key is destroyed. Per source,
    because a sequence check works within one source and no more needs to be linked.
    """
    return hmac.digest(subject_key, b"pseudonym\n" + source.encode(), "sha256")[:16].hex()


def time_bucket(timestamp_ms: int) -> str:
    """The ten-minute interval in which the broker appended the record, as the UTC minute of its beginning.

    Where the producer sets the time (CreateTime) it may be any: one that no calendar holds becomes the
    nearest that it does.
    """
    return _bucket_text(min(max(timestamp_ms, 0), LAST_MS) // 1000 // BUCKET_SECONDS)


@functools.lru_cache(maxsize=64)
def _bucket_text(bucket: int) -> str:
    return dt.datetime.fromtimestamp(bucket * BUCKET_SECONDS, dt.UTC).strftime("%Y-%m-%dT%H:%MZ")


def encode_entry(members: Members) -> bytes:
    """The entry's bytes. Raises ValueError if they do not fit into an entry bundle."""
    data = orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
    if len(data) > MAX_ENTRY_BYTES:
        raise ValueError(f"an entry has at most {MAX_ENTRY_BYTES} bytes, this one {len(data)}")
    return data


def parse_entry(data: bytes) -> dict[str, Any]:
    """The members of an entry of version 1, unknown kinds and members included.

    Raises Malformed if the bytes are not the canonical JSON of an object with this version and a kind.
    """
    try:
        members = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Malformed("the entry is not JSON") from None
    if not isinstance(members, dict) or members.get("v") != VERSION:
        raise Malformed(f"the entry is not an object of version {VERSION}")
    if not isinstance(members.get("kind"), str):
        raise Malformed("the entry has no kind")
    if encode_entry(members) != data:
        raise Malformed("the entry is not in canonical form")
    return members
