"""The published log as its server reads it: checkpoint, tiles, and proofs made from them."""

from collections import OrderedDict
from pathlib import Path

from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.consistency import Consistency
from services.audit.log.files import LogFiles
from services.audit.log.note import Verifier
from services.audit.log.proof import Proof
from services.audit.log.prove import Prover
from services.audit.log.source import Folder, read_tile
from services.audit.log.tiles import TileName

_TILES_KEPT = 4096


class PublishedLog:
    """Reads `folder`, whose checkpoints must be signed by `verifier`'s key.

    Full tiles never change and are cached, up to 32 MB. All methods block.
    """

    def __init__(self, folder: Path, verifier: Verifier) -> None:
        self.verifier = verifier
        self._folder = folder
        self._files = LogFiles(folder)
        self._source = Folder(folder)
        self._tiles: OrderedDict[TileName, bytes] = OrderedDict()

    def note(self) -> bytes | None:
        """The newest checkpoint as it is published, unchecked; None before the first."""
        return self._files.checkpoint()

    def checkpoint(self) -> tuple[bytes, Checkpoint] | None:
        """The newest checkpoint, as published and parsed; None before the first.

        Raises LogError if it is malformed or signed by another key.
        """
        note = self.note()
        return None if note is None else (note, open_checkpoint(note, self.verifier))

    def tile(self, path: str) -> bytes:
        """The file below `tile/`. Raises FileNotFoundError; `path` must be one of tlog-tiles."""
        return (self._folder / "tile" / path).read_bytes()

    def prove(self, index: int, entry: bytes) -> bytes | None:
        """The .tlog-proof file of an entry, with the entry as `extra`; None if it is not published yet.

        Raises LogError if the published files are not those of our log, or are incomplete.
        """
        found = self.checkpoint()
        if found is None or index >= found[1].size:
            return None
        note, checkpoint = found
        hashes = Prover(checkpoint.size, self._cached).inclusion(index)
        proof = Proof(index, tuple(hashes), note, entry)
        proof.verify(entry, self.verifier)  # never hand out a receipt that does not hold
        return proof.encode()

    def prove_consistency(self, old_size: int) -> bytes | None:
        """The proof that the published log begins with its first `old_size` entries; None if it has fewer.

        Raises LogError like `prove`.
        """
        found = self.checkpoint()
        if found is None or not 0 < old_size <= found[1].size:
            return None
        note, checkpoint = found
        prover = Prover(checkpoint.size, self._cached)
        consistency = Consistency(old_size, tuple(prover.consistency(old_size)), note)
        consistency.verify(prover.subtree_hash(0, old_size), self.verifier)
        return consistency.encode()

    def _cached(self, name: TileName) -> bytes:
        cached = self._tiles.get(name)
        if cached is not None:
            return cached
        data = read_tile(self._source, name)
        if name == name.full:
            self._tiles[name] = data
            if len(self._tiles) > _TILES_KEPT:
                self._tiles.popitem(last=False)
        return data
