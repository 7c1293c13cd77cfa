"""A consistency proof as a file: the body of c2sp.org/tlog-witness add-checkpoint.

It holds the old size, the hashes of the proof, and the checkpoint to which they lead. With an older
checkpoint one verifies that nothing was removed or replaced since; a witness accepts the file as it is.
"""

import base64
from dataclasses import dataclass

from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.merkle_proofs import verify_consistency
from services.audit.log.note import Verifier


@dataclass(frozen=True, slots=True)
class Consistency:
    """The consistency proof from `old_size` to the size that the checkpoint (a signed note) has."""

    old_size: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """The file."""
        lines = [f"old {self.old_size}", *(base64.b64encode(value).decode() for value in self.hashes)]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    def verify(self, old_root: bytes, verifier: Verifier) -> Checkpoint:
        """Check that the log with `old_root` grew to that of the checkpoint; returns the checkpoint.

        Raises Malformed or NotProven.
        """
        checkpoint = open_checkpoint(self.checkpoint, verifier)
        verify_consistency(self.old_size, checkpoint.size, old_root, checkpoint.root, self.hashes)
        return checkpoint
