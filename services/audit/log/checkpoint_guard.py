"""Guards against contradicting a checkpoint that was signed or published before."""

from services.audit.log import queries
from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.errors import LogBroken
from services.audit.log.note import Verifier
from shared.unit_of_work.transaction import Connection


async def check_published(
    connection: Connection, verifier: Verifier, size: int, published: bytes | None
) -> int:
    """Check that `published`, if any, is a prefix of the log of `size` entries; returns its size or 0.

    Raises LogBroken if it is ahead of the log or differs from it: a restore or a fail-over lost entries, and
    continuing would fork the log.
    """
    if published is None:
        return 0
    seen = open_checkpoint(published, verifier)
    if seen.size > size:
        raise LogBroken(
            f"{seen.size} entries are published, but the log has {size}: a restore lost some; "
            "run `civicloom restore`"
        )
    await check_signed(connection, verifier, seen)
    return seen.size


async def check_signed(connection: Connection, verifier: Verifier, claimed: Checkpoint) -> None:
    """Check that the log's tables hold exactly this checkpoint. Raises LogBroken."""
    note = await queries.checkpoint_at(connection, claimed.size)
    if note is None:
        raise LogBroken(f"the log has not signed a checkpoint of size {claimed.size}")
    if open_checkpoint(note.encode(), verifier) != claimed:
        raise LogBroken(f"the log has signed another root for size {claimed.size}")
