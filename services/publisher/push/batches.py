"""A publication's push: one ledger row per subscriber, and two events for the whole batch."""

import orjson

from services.publisher.queries import deliveries, publications, subscriptions
from shared.clock import machine_now
from shared.contracts.publisher import Lane, PushBatchClosed, PushBatchStarted
from shared.merkle import MerkleAccumulator, leaf_hash
from shared.unit_of_work.timers import FiredTimer
from shared.unit_of_work.transaction import Tx

_PAGE = 2_000


async def start(tx: Tx, fired: list[FiredTimer]) -> None:
    """Timer `push_publication`: writes a ledger row for each current subscriber.

    Emits push.batch_started, and push.batch_closed if there are no subscribers.
    """
    for each in fired:
        await _start(tx, each.aggregate, int(each.data["version"]))


async def close_if_done(tx: Tx, publication: str, version: int) -> None:
    """Closes the push once every row is sent or failed. The publication must be locked.

    Emits push.batch_closed.
    """
    if await deliveries.is_push_open(tx, publication, version):
        return
    if not await deliveries.close_push_batch(tx, publication, version):
        return
    tree = MerkleAccumulator()
    counts = {"sent": 0, "failed": 0}
    async for row in deliveries.push_rows(tx, publication, version):
        counts[row.state] += 1
        tree.append(leaf_hash(ledger_leaf(row.id, row.lane, row.state, row.attempts)))
    tx.emit(
        PushBatchClosed(
            version=version, sent=counts["sent"], failed=counts["failed"], ledger_root=tree.root().hex()
        ),
        subject=publication,
    )


def ledger_leaf(identifier: str, lane: str, state: str, attempts: int) -> bytes:
    """A ledger row as a leaf of the tree: JSON, these four members in alphabetical order, no spaces."""
    return orjson.dumps({"attempts": attempts, "id": identifier, "lane": lane, "state": state})


async def _start(tx: Tx, publication: str, version: int) -> None:
    shown = await publications.public_version(tx.connection, publication)
    if shown is None or shown.version != version or shown.state == "withdrawn":
        return
    await deliveries.open_push_batch(tx, publication, version)
    recipients: dict[Lane, int] = {}
    last, due = "", machine_now()
    while page := await subscriptions.subscribers_page(tx, shown.topics, last, _PAGE):
        last = page[-1].id
        for each in page:
            recipients[each.lane] = recipients.get(each.lane, 0) + 1
        await deliveries.insert_push(tx, publication, version, page, due)
    tx.emit(PushBatchStarted(version=version, recipients=recipients), subject=publication)
    await close_if_done(tx, publication, version)
