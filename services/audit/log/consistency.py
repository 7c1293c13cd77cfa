"""That a log has grown from what it was, as a file: the body of c2sp.org/tlog-witness add-checkpoint.

The old size, the hashes of the proof, and the checkpoint to which they lead. Whoever kept an older checkpoint
checks with it that nothing was taken away or exchanged since; a witness can be handed the file as it is.
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
        """Check that the log with `old_root` grew to the one of the checkpoint, which it answers.

        Raises Malformed or NotProven.
        """
        checkpoint = open_checkpoint(self.checkpoint, verifier)
        verify_consistency(self.old_size, checkpoint.size, old_root, checkpoint.root, self.hashes)
        return checkpoint
