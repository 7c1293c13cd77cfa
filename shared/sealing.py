"""Authenticated encryption of small values: AES-256-GCM with a random nonce in front of the ciphertext."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16


def seal(key: bytes, plain: bytes, aad: bytes) -> bytes:
    """Encrypt `plain`; the result is nonce (12 bytes) || ciphertext || tag (16 bytes).

    `aad` is authenticated but not stored: it binds the value to its row or purpose. The nonce is random,
    so one key must seal fewer than 2**32 values (NIST SP 800-38D section 8.3).
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, aad)


def open_sealed(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Decrypt what `seal` returned.

    Raises cryptography.exceptions.InvalidTag if the key or `aad` differs from those of `seal`, or if the
    bytes were changed or cut.
    """
    if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
        raise InvalidTag
    return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], aad)


def new_key() -> bytes:
    """A random key of 32 bytes."""
    return secrets.token_bytes(KEY_BYTES)
