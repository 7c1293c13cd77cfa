"""The log's private key in a file of one line: `PRIVATE+KEY+<name>+<id>+<base64>`, as Go's sumdb/note has it.

It contains the name (the log's origin), so that a log keeps its name when settings change.
"""

import base64
import contextlib
import os
import secrets
from pathlib import Path

from services.audit.log.errors import LogBroken, Malformed
from services.audit.log.note import ED25519, Signer

_PREFIX = "PRIVATE+KEY+"


def open_or_make(path: Path, origin: str, *, has_log: bool) -> Signer:
    """The key in `path`; the first process that finds none generates one, readable by its owner alone.

    Raises Malformed if the file holds something else, and LogBroken if it is missing but the log exists
    already: a new key would be served beside checkpoints that it never signed.
    """
    if has_log and not path.exists():
        raise LogBroken(
            f"{path} is gone, but the log has been signed with its key: bring it back from a backup"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Not named by process id: two containers that share the folder may have the same one.
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(encode(Signer(origin, seed := secrets.token_bytes(32)), seed) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(fresh, path)
        finally:
            fresh.unlink()
    return parse(path.read_text(errors="replace"))


def encode(signer: Signer, seed: bytes) -> str:
    """The key as text."""
    encoded = base64.b64encode(bytes([ED25519]) + seed).decode()
    return f"{_PREFIX}{signer.name}+{signer.verifier.key_id.hex()}+{encoded}"


def parse(text: str) -> Signer:
    """The signer of an encoded key. Raises Malformed."""
    line = text.strip()
    parts = line.removeprefix(_PREFIX).split("+", 2)
    if not line.startswith(_PREFIX) or len(parts) != 3:
        raise Malformed(f"the log's key file must hold one line {_PREFIX}<name>+<id>+<base64>")
    name, key_id, encoded = parts
    try:
        key = base64.b64decode(encoded, validate=True)
        signer = Signer(name, key[1:])
    except ValueError as error:
        raise Malformed(f"the log's key file is damaged: {error}") from None
    if key[:1] != bytes([ED25519]) or signer.verifier.key_id.hex() != key_id:
        raise Malformed("the log's key file is damaged: its id is not that of its key")
    return signer
