"""Guards against contradicting a checkpoint that was signed or published before.

The root that the log had at any size follows from its tiles, so no list of old checkpoints is needed.
"""

from services.audit.log import queries
from services.audit.log.checkpoint import Checkpoint, open_checkpoint
from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import LogBroken
from services.audit.log.note import Verifier
from services.audit.log.tiles import TILE_WIDTH
from shared.merkle import HASH_SIZE
from shared.unit_of_work.transaction import Connection


async def check_published(
    connection: Connection, verifier: Verifier, edge: CompactRange, published: bytes | None
) -> CompactRange:
    """Check that `published`, if any, is a prefix of the log with this edge; returns the log at its size.

    Raises LogBroken if it is ahead of the log or differs from it: a restore or a fail-over lost entries, and
    continuing would fork the log.
    """
    if published is None:
        return CompactRange()
    seen = open_checkpoint(published, verifier)
    if seen.size > edge.size:
        raise LogBroken(
            f"{seen.size} entries are published, but the log has {edge.size}: a restore lost some; "
            "run `civicloom restore`"
        )
    return await _check_prefix(connection, edge, seen)


async def check_signed(connection: Connection, verifier: Verifier, edge: CompactRange) -> None:
    """Check that the newest checkpoint in the tables is a prefix of the log. Raises LogBroken."""
    note = await queries.newest_checkpoint(connection)
    if note is not None:
        signed = open_checkpoint(note.encode(), verifier)
        if signed.size > edge.size:
            raise LogBroken(f"{signed.size} entries are signed, but the log has {edge.size}")
        await _check_prefix(connection, edge, signed)


async def _check_prefix(connection: Connection, edge: CompactRange, claimed: Checkpoint) -> CompactRange:
    then = await range_at(connection, edge, claimed.size)
    if then.root() != claimed.root:
        raise LogBroken(f"the log has another root at size {claimed.size} than the one that was signed")
    return then


async def range_at(connection: Connection, edge: CompactRange, size: int) -> CompactRange:
    """The log as it was with its first `size` entries, from its tiles and its present edge.

    Raises LogBroken if a tile is missing or damaged.
    """
    levels: list[bytes] = []
    while size >> 8 * len(levels):
        level = len(levels)
        number, width = divmod(size >> 8 * level, TILE_WIDTH)
        if number == edge.size >> 8 * (level + 1):
            data = edge.levels[level]
        else:
            tiles = await queries.full_tiles(connection, level, number, number + 1)
            data = tiles[0][1] if tiles else b""
        if len(data) < width * HASH_SIZE:
            raise LogBroken(f"tile {number} of level {level} is missing or damaged")
        levels.append(data[: width * HASH_SIZE])
    return CompactRange(size, tuple(levels))
