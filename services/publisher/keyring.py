"""Addresses of people, each sealed under a key of its own, which is wrapped by a key of the installation.

Deleting a row's wrapped key ends the address for good, in backups as well.
"""

import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_KEY_BITS = 256


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is stored: AES-256-GCM over the text and over its key, each with its nonce in front."""

    box: bytes
    wrapped_key: bytes


class Keyring:
    """Seals and opens with `master` (32 bytes); `owner` is authenticated: rows cannot be swapped."""

    def __init__(self, master: bytes) -> None:
        self._master = AESGCM(master)

    def seal(self, text: str, owner: str) -> Sealed:
        """The text under a new key."""
        key = AESGCM.generate_key(_KEY_BITS)
        return Sealed(_encrypt(AESGCM(key), text.encode(), owner), _encrypt(self._master, key, owner))

    def open(self, sealed: Sealed, owner: str) -> str:
        """The text. Raises cryptography.exceptions.InvalidTag if it was sealed elsewhere or for another."""
        key = _decrypt(self._master, sealed.wrapped_key, owner)
        return _decrypt(AESGCM(key), sealed.box, owner).decode()


def _encrypt(cipher: AESGCM, plain: bytes, owner: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, owner.encode())


def _decrypt(cipher: AESGCM, box: bytes, owner: str) -> bytes:
    return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], owner.encode())
