"""Checkpoints (c2sp.org/tlog-checkpoint v1.0.0): the signed statement "at this size the root is this"."""

import base64
import re
from dataclasses import dataclass

from services.audit.log.errors import Malformed
from services.audit.log.note import Signer, Verifier, decode_base64, parse_note
from shared.merkle import HASH_SIZE

_DECIMAL = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: the log's origin, its size in entries, its root of 32 bytes."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """The text that is signed: three lines, no extension lines, as those could not be audited."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def sign(self, signer: Signer) -> str:
        """The signed note."""
        return signer.sign(self.body())


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a note's text as a checkpoint. Raises Malformed, naming the line."""
    lines = text.split("\n")[:-1]
    if len(lines) < 3 or not all(lines):
        raise Malformed("a checkpoint has at least three lines and no empty one")
    origin, size, root = lines[:3]
    if not _DECIMAL.fullmatch(size):
        raise Malformed("line 2 is not a tree size")
    try:
        digest = decode_base64(root)
    except Malformed as error:
        raise Malformed(f"line 3: {error}") from None
    if len(digest) != HASH_SIZE:
        raise Malformed("line 3 is not the base64 of a SHA-256 hash")
    return Checkpoint(origin, int(size), digest)


def open_checkpoint(note: bytes, verifier: Verifier) -> Checkpoint:
    """Parse a checkpoint, check its signature and that its origin is the key's name.

    Raises Malformed or NotProven.
    """
    parsed = parse_note(note)
    verifier.verify(parsed)
    checkpoint = parse_checkpoint(parsed.text)
    if checkpoint.origin != verifier.name:
        raise Malformed(f"line 1 names the log {checkpoint.origin}, the key is that of {verifier.name}")
    return checkpoint
