"""Receipts that can be checked offline (c2sp.org/tlog-proof@v1, file ending `.tlog-proof`).

The format does not authenticate `extra`. Ours holds the entry: the proof proves its hash, and its commitment
ties it to the event that the citizen holds (`verify_event`).
"""

import base64
import re
from dataclasses import dataclass

from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.entry import commitment, parse_entry
from services.audit.log.errors import Malformed, NotProven
from services.audit.log.merkle_proofs import verify_inclusion
from services.audit.log.note import Verifier, decode_base64
from shared.merkle import HASH_SIZE, leaf_hash

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63
_INDEX = re.compile("index (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Proof:
    """An entry's index and inclusion proof, the checkpoint (a signed note), and the application's bytes."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def encode(self) -> bytes:
        """The file."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines.extend(base64.b64encode(value).decode() for value in self.hashes)
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    def verify(self, entry: bytes, verifier: Verifier) -> Checkpoint:
        """Check that `entry` is in the log that `verifier` signs for; returns the checkpoint.

        Raises Malformed or NotProven.
        """
        checkpoint = open_checkpoint(self.checkpoint, verifier)
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint

    def verify_event(self, value: bytes, verifier: Verifier) -> Checkpoint:
        """Check that the event whose value is `value` is in the log, by the entry in `extra`.

        Raises Malformed or NotProven.
        """
        if self.extra is None:
            raise Malformed("the proof carries no entry in `extra`")
        checkpoint = self.verify(self.extra, verifier)
        if parse_entry(self.extra).get("commitment") != commitment(value):
            raise NotProven("the entry is in the log, but it does not commit to this event")
        return checkpoint


def parse_proof(data: bytes) -> Proof:
    """Parse a `.tlog-proof` file. Raises Malformed, naming the line; verifies no signature and no hash."""
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Malformed("the lines before the checkpoint are not ASCII") from None
    if lines[0] != HEADER:
        raise Malformed(f"line 1 is not {HEADER}")
    if not blank or not checkpoint:
        raise Malformed("no checkpoint follows the proof")
    number = 1
    extra = None
    if len(lines) > number and lines[number].startswith("extra "):
        extra = _decode(lines[number].removeprefix("extra "), number + 1)
        number += 1
    index = _INDEX.fullmatch(lines[number]) if len(lines) > number else None
    if index is None:
        raise Malformed(f"line {number + 1} is not the index of an entry")
    hashes = tuple(_decode(line, number + 2 + i) for i, line in enumerate(lines[number + 1 :]))
    if len(hashes) > MAX_HASHES or any(len(value) != HASH_SIZE for value in hashes):
        raise Malformed(f"the proof is not a list of at most {MAX_HASHES} SHA-256 hashes")
    return Proof(int(index[1]), hashes, checkpoint, extra)


def _decode(text: str, line: int) -> bytes:
    try:
        return decode_base64(text)
    except Malformed as error:
        raise Malformed(f"line {line}: {error}") from None
