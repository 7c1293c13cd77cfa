"""Values for cookies that browsers can neither read nor change, with an expiry."""

import base64
import datetime as dt
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag

from shared.clock import UTC, machine_now
from shared.sealing import open_sealed, seal

_LONGEST = 4096  # browsers keep no more of a cookie


class Sealer:
    """Seals JSON objects for one purpose.

    Parameters
    ----------
    key
        32 bytes.
    purpose
        Authenticated with each value: what was sealed for one purpose does not open for another.
    """

    def __init__(self, key: bytes, purpose: str) -> None:
        self._key = key
        self._purpose = purpose.encode()

    def seal(self, value: dict[str, Any], seconds: int) -> str:
        """URL-safe text that `open` accepts for `seconds`. Raises ValueError if no cookie holds it."""
        plain = orjson.dumps({"end": int(machine_now().timestamp()) + seconds, "value": value})
        sealed = base64.urlsafe_b64encode(seal(self._key, plain, self._purpose)).decode()
        if len(sealed) > _LONGEST:
            raise ValueError(f"{len(sealed)} characters do not fit into a cookie")
        return sealed

    def open(self, sealed: str) -> dict[str, Any] | None:
        """The sealed value; None if it has expired, was changed, or was not sealed by us."""
        opened = self.open_until(sealed)
        return opened[0] if opened else None

    def open_until(self, sealed: str) -> tuple[dict[str, Any], dt.datetime] | None:
        """The same with the moment (machine time, UTC) at which it expires."""
        try:
            raw = base64.b64decode(sealed[:_LONGEST], altchars=b"-_", validate=True)
            plain = open_sealed(self._key, raw, self._purpose)
        except (ValueError, InvalidTag):  # binascii.Error is a ValueError
            return None
        content = orjson.loads(plain)
        if content["end"] <= machine_now().timestamp():
            return None
        value: dict[str, Any] = content["value"]
        return value, dt.datetime.fromtimestamp(content["end"], UTC)
