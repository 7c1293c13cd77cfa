"""Copies committed entries into the published files: tiles and bundles first, the checkpoint last.

It reads what the writer has committed, in one snapshot, and continues from the published checkpoint. It may
crash at any point, and may run in another process than the writer. Only what is published is signed.
"""

import asyncio

from services.audit.log import queries
from services.audit.log.checkpoint import Checkpoint
from services.audit.log.checkpoint_guard import check_published
from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.note import Signer
from services.audit.log.tiles import TILE_WIDTH, TileName, bundle, levels
from shared.merkle import leaf_hashes
from shared.unit_of_work.transaction import Connection

File = tuple[TileName, bytes]

# Bundles or tiles in memory at a time: 64 * 256 entries of some 400 bytes.
_STEP = 64
_THINNED_AT_ONCE = 1000


async def publish(connection: Connection, files: LogFiles, signer: Signer) -> int:
    """Sign and publish the newest committed tree with all files that it needs; returns its size.

    The root is computed again from the entries that are published, and signed only if it is the one that was
    committed. Raises LogBroken if it is not, or if the published checkpoint is not a prefix of the log.
    """
    published = await asyncio.to_thread(files.checkpoint)
    async with connection.transaction(isolation="repeatable_read"):
        edge, vkey = await queries.head(connection)
        if vkey is None:
            raise LogBroken("the log was never opened: it has no checkpoint yet")
        if vkey != signer.verifier.vkey:
            raise LogBroken(f"the log is signed by {vkey}, not by {signer.verifier.vkey}")
        old = await check_published(connection, signer.verifier, edge, published)
        if edge.size == old.size and published is not None:
            return old.size
        root = await _publish_bundles(connection, files, old, edge.size)
        if root != edge.root():
            raise LogBroken("the entries have another root than was committed with them: nothing is signed")
        await _publish_tiles(connection, files, old.size, edge)
        note = Checkpoint(signer.name, edge.size, root).sign(signer)
        await queries.insert_checkpoint(connection, edge.size, note)
    # A signed note leaves after its commit, so that no root can be signed twice.
    await asyncio.to_thread(files.publish, note.encode())
    await asyncio.to_thread(files.tidy, old.size, edge.size)
    await queries.thin_checkpoints(connection, edge.size, _THINNED_AT_ONCE)
    return edge.size


async def _publish_bundles(connection: Connection, files: LogFiles, old: CompactRange, size: int) -> bytes:
    """Writes the bundles behind `old` up to `size` entries; the root of the whole log with them."""
    computed = old
    first, end = old.size // TILE_WIDTH, -(-size // TILE_WIDTH)
    for start in range(first, end, _STEP):
        stop = min(start + _STEP, end)
        last = min(stop * TILE_WIDTH, size)
        entries = await queries.entries(connection, start * TILE_WIDTH, last)
        computed, _ = computed.extend(leaf_hashes(entries[computed.size - start * TILE_WIDTH :]))
        bundles: list[File] = []
        for number in range(start, stop):
            held = entries[(number - start) * TILE_WIDTH : (number - start + 1) * TILE_WIDTH]
            bundles.append((TileName("entries", number, len(held)), bundle(held)))
        await asyncio.to_thread(files.add, bundles, old.size)
    return computed.root()


async def _publish_tiles(connection: Connection, files: LogFiles, old_size: int, edge: CompactRange) -> None:
    for level in range(levels(edge.size)):
        first, end = old_size >> 8 * (level + 1), edge.size >> 8 * (level + 1)
        for start in range(first, end, _STEP):
            tiles = await queries.full_tiles(connection, level, start, min(start + _STEP, end))
            named = [(TileName(level, number), hashes) for number, hashes in tiles]
            await asyncio.to_thread(files.add, named, old_size)
    await asyncio.to_thread(files.add, edge.partial(), old_size)
