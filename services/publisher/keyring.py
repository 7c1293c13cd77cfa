"""Addresses of people, each sealed under a key of its own, which is wrapped by a key of the installation.

Deleting a row's wrapped key ends the address for good, in backups as well.
"""

from dataclasses import dataclass

from shared.sealing import new_key, open_sealed, seal


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is stored: the text sealed under its own key, and that key sealed under the master key."""

    box: bytes
    wrapped_key: bytes


class Keyring:
    """Seals and opens with `master` (32 bytes); `owner` is authenticated: rows cannot be swapped."""

    def __init__(self, master: bytes) -> None:
        self._master = master

    def seal(self, text: str, owner: str) -> Sealed:
        """The text under a new key."""
        key, aad = new_key(), owner.encode()
        return Sealed(seal(key, text.encode(), aad), seal(self._master, key, aad))

    def open(self, sealed: Sealed, owner: str) -> str:
        """The text. Raises cryptography.exceptions.InvalidTag for another owner or master key."""
        aad = owner.encode()
        key = open_sealed(self._master, sealed.wrapped_key, aad)
        return open_sealed(key, sealed.box, aad).decode()
