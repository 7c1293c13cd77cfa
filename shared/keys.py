"""Derives every key of an installation from one SECRET_KEY, each for one purpose."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_BYTES = 32


def derive(secret_key: str, purpose: str) -> bytes:
    """A key of 32 bytes for `purpose`, by HKDF-SHA256 (RFC 5869) from the hex `secret_key`.

    Raises ValueError if the secret is not hex or has fewer than 32 bytes.
    """
    try:
        secret = bytes.fromhex(secret_key)
    except ValueError:
        secret = b""
    if len(secret) < _BYTES:
        raise ValueError("SECRET_KEY must be at least 32 bytes of hex: make one with `openssl rand -hex 32`")
    info = f"civicloom {purpose}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=_BYTES, salt=None, info=info).derive(secret)
