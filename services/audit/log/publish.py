"""Copies committed entries into the published files: tiles and bundles first, the checkpoint last.

It reads what the writer has committed, in one snapshot, and continues from the published checkpoint. It may
crash at any point, and may run in another process than the writer.
"""

import asyncio

from services.audit.log import queries
from services.audit.log.checkpoint_guard import check_published
from services.audit.log.compact_range import CompactRange
from services.audit.log.errors import LogBroken
from services.audit.log.files import LogFiles
from services.audit.log.note import Verifier
from services.audit.log.tiles import TILE_WIDTH, TileName, bundle, levels
from shared.unit_of_work.transaction import Connection

File = tuple[TileName, bytes]

# Bundles or tiles in memory at a time: 64 * 256 entries of some 400 bytes.
_STEP = 64


async def publish(connection: Connection, files: LogFiles, verifier: Verifier) -> int:
    """Publish the newest committed checkpoint with all files that it needs; returns its size.

    Raises LogBroken if the published checkpoint is not a prefix of the log.
    """
    published = await asyncio.to_thread(files.checkpoint)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        signed = await queries.newest_checkpoint(connection)
        if signed is None:
            raise LogBroken("the log was never opened: it has no checkpoint yet")
        edge = signed.edge
        old_size = await check_published(connection, verifier, edge.size, published)
        if edge.size == old_size and published is not None:
            return old_size
        await _publish_bundles(connection, files, old_size, edge.size)
        await _publish_tiles(connection, files, old_size, edge)
    await asyncio.to_thread(files.publish, signed.note.encode())
    await asyncio.to_thread(files.tidy, old_size, edge.size)
    return edge.size


async def _publish_bundles(connection: Connection, files: LogFiles, old_size: int, size: int) -> None:
    first, end = old_size // TILE_WIDTH, -(-size // TILE_WIDTH)
    for start in range(first, end, _STEP):
        stop = min(start + _STEP, end)
        last = min(stop * TILE_WIDTH, size)
        entries = await queries.entries(connection, start * TILE_WIDTH, last)
        bundles: list[File] = []
        for number in range(start, stop):
            held = entries[(number - start) * TILE_WIDTH : (number - start + 1) * TILE_WIDTH]
            bundles.append((TileName("entries", number, len(held)), bundle(held)))
        await asyncio.to_thread(files.add, bundles, old_size)


async def _publish_tiles(connection: Connection, files: LogFiles, old_size: int, edge: CompactRange) -> None:
    for level in range(levels(edge.size)):
        first, end = old_size >> 8 * (level + 1), edge.size >> 8 * (level + 1)
        for start in range(first, end, _STEP):
            tiles = await queries.full_tiles(connection, level, start, min(start + _STEP, end))
            named = [(TileName(level, number), hashes) for number, hashes in tiles]
            await asyncio.to_thread(files.add, named, old_size)
    await asyncio.to_thread(files.add, edge.partial(), old_size)
