"""One random key per subject, which never leaves audit; destroying it is the erasure.

The subject's pseudonyms in the public entries and the key of its words are derived from it.
"""

import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag

from services.audit.log.entry import pseudonym
from services.audit.log.errors import LogBroken
from shared import sealing


@dataclass(slots=True)
class Subject:
    """A subject's number in the tables and its key; without key it is erased.

    `last` is the highest ordinal that is logged of each source; nothing is logged above it.
    """

    no: int
    key: bytes | None
    last: dict[str, int] = field(default_factory=dict)
    _pseudonyms: dict[str, str] = field(default_factory=dict)

    def pseudonym(self, source: str) -> str | None:
        """Its pseudonym in the entries of `source`; None once it is erased."""
        if self.key is None:
            return None
        name = self._pseudonyms.get(source)
        if name is None:
            name = self._pseudonyms[source] = pseudonym(self.key, source)
        return name

    def seal(self, index: int, words: bytes) -> bytes:
        """Words as they are stored beside entry `index`. The subject must not be erased.

        A batch that is rolled back uses its indexes again: the index binds the words to their entry and is
        no nonce.
        """
        return sealing.seal(self._words_key(), words, index.to_bytes(8, "big"))

    def unseal(self, index: int, sealed: bytes) -> bytes:
        """The words beside entry `index`. Raises LogBroken if they are not what was sealed there."""
        return _open(self._words_key(), sealed, index.to_bytes(8, "big"))

    def erase(self) -> None:
        """Forget the key and all that was derived from it."""
        self.key = None
        self._pseudonyms.clear()

    def _words_key(self) -> bytes:
        if self.key is None:
            raise LogBroken(f"subject {self.no} is erased")
        return hmac.digest(self.key, b"words", "sha256")


class KeyBox:
    """Wraps subjects' keys for storage. The master key (32 bytes) is derived from SECRET_KEY."""

    def __init__(self, master_key: bytes) -> None:
        self._master = master_key

    def wrap(self, subject: str, key: bytes) -> bytes:
        """The key as it is stored, bound to its subject."""
        return sealing.seal(self._master, key, subject.encode())

    def unwrap(self, subject: str, wrapped: bytes) -> bytes:
        """The key from what is stored. Raises LogBroken under another master key or subject."""
        return _open(self._master, wrapped, subject.encode())


def new_key() -> bytes:
    """A random key for a new subject."""
    return sealing.new_key()


def _open(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    try:
        return sealing.open_sealed(key, sealed, bound_to)
    except InvalidTag:
        raise LogBroken("a key or words of the log cannot be opened: wrong SECRET_KEY, or damage") from None
