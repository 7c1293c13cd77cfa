"""Signed notes (c2sp.org/signed-note v1.0.0) with Ed25519 keys, algorithm byte 0x01.

A note is a text that ends in a newline, a blank line, and signature lines
`— <name> base64(key id || signature)`. A verifier key ("vkey") is
`<name>+<key id in hex>+base64(0x01 || public key)`, where the key id is
SHA-256(name || 0x0A || 0x01 || public key)[:4].
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.audit.log.errors import Malformed, NotProven

ED25519 = 0x01
MAX_SIGNATURES = 64  # the specification asks for at least 16; a note with more is a denial of service
_SIGNATURE_PREFIX = "— "
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and id, and the bytes behind the id."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note; its signatures are not checked yet."""

    text: str
    signatures: tuple[Signature, ...]


class Verifier:
    """A log's public key, from its vkey."""

    def __init__(self, name: str, public_key: bytes) -> None:
        self.name = name
        self.key_id = _key_id(name, public_key)
        self._public_key = public_key
        self._key = Ed25519PublicKey.from_public_bytes(public_key)

    @classmethod
    def parse(cls, vkey: str) -> "Verifier":
        """Parse a vkey. Raises Malformed unless it has exactly the form of the specification."""
        match = _VKEY.fullmatch(vkey)
        if match is None:
            raise Malformed("a verifier key is <name>+<8 hex digits>+<base64>")
        key = decode_base64(match[3])
        if len(key) != 33 or key[0] != ED25519:
            raise Malformed("the verifier key is not an Ed25519 key (0x01 and 32 bytes)")
        verifier = cls(match[1], key[1:])
        if verifier.key_id.hex() != match[2]:
            raise Malformed(f"the verifier key's id is {match[2]}, its bytes give {verifier.key_id.hex()}")
        return verifier

    @property
    def vkey(self) -> str:
        """The public key as text."""
        encoded = base64.b64encode(bytes([ED25519]) + self._public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def verify(self, note: Note) -> None:
        """Check that this key signed the note's text; ignores other keys' lines. Raises NotProven."""
        ours = [s for s in note.signatures if (s.name, s.key_id) == (self.name, self.key_id)]
        if not ours:
            raise NotProven(f"the note carries no signature of {self.name}+{self.key_id.hex()}")
        for signature in ours:
            try:
                self._key.verify(signature.value, note.text.encode())
            except InvalidSignature:
                raise NotProven(f"the signature of {self.name} does not fit the note") from None


class Signer:
    """A log's private key."""

    def __init__(self, name: str, seed: bytes) -> None:
        """`name` is the log's origin, `seed` the 32 bytes of an Ed25519 private key (RFC 8032)."""
        if not name or "+" in name or any(character.isspace() for character in name):
            raise ValueError(f"a key's name has no spaces and no plus sign: {name!r}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @property
    def name(self) -> str:
        """The name under which this key signs."""
        return self.verifier.name

    def sign(self, text: str) -> str:
        """The note of `text` with one signature line."""
        if not text.endswith("\n"):
            raise ValueError("a note's text ends with a newline")
        signature = base64.b64encode(self.verifier.key_id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_SIGNATURE_PREFIX}{self.name} {signature}\n"


def parse_note(note: bytes) -> Note:
    """Split a note into its text and its signature lines. Raises Malformed, naming the line."""
    try:
        content = note.decode()
    except UnicodeDecodeError as error:
        line = note.count(b"\n", 0, error.start) + 1
        raise Malformed(f"line {line} is not UTF-8") from None
    for number, content_line in enumerate(content.split("\n"), 1):
        if any(character < " " for character in content_line):
            raise Malformed(f"line {number} holds a control character")
    if not content.endswith("\n"):
        raise Malformed("the last line does not end with a newline")
    text, blank, block = content.rpartition("\n\n")
    if not blank:
        raise Malformed("no blank line stands before the signatures")
    first = text.count("\n") + 3
    lines = block.split("\n")[:-1]
    if not lines or len(lines) > MAX_SIGNATURES:
        raise Malformed(f"line {first}: a note has 1 to {MAX_SIGNATURES} signatures, this one {len(lines)}")
    return Note(text + "\n", tuple(_signature(line, first + i) for i, line in enumerate(lines)))


def decode_base64(text: str) -> bytes:
    """Standard base64 in its one canonical spelling. Raises Malformed for every other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Malformed("not the canonical base64 of its bytes")
    return data


def _signature(line: str, number: int) -> Signature:
    name, space, encoded = line.removeprefix(_SIGNATURE_PREFIX).partition(" ")
    spaced = any(character.isspace() for character in name)
    if not line.startswith(_SIGNATURE_PREFIX) or not name or "+" in name or spaced or not space:
        raise Malformed(f"line {number} is not a signature line")
    try:
        data = decode_base64(encoded)
    except Malformed as error:
        raise Malformed(f"line {number}: {error}") from None
    if len(data) < 5:
        raise Malformed(f"line {number}: the signature is too short")
    return Signature(name, data[:4], data[4:])


def _key_id(name: str, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([ED25519]) + public_key).digest()[:4]
