"""A publication's push: one ledger row per subscriber, two events for all of them together."""

import datetime as dt

import orjson

from services.publisher.queries import QUERIES
from shared.clock import machine_now
from shared.contracts.publisher import Lane, PushBatchClosed, PushBatchStarted
from shared.ids import derived_id
from shared.merkle import TreeHash
from shared.unit_of_work.timers import FiredTimer
from shared.unit_of_work.transaction import Tx

_PAGE = 2_000


async def start(tx: Tx, fired: list[FiredTimer]) -> None:
    """Timer `push_publication`: the ledger rows of whoever subscribes at this moment."""
    for each in fired:
        await _start(tx, each.aggregate, int(each.data["version"]))


async def close_if_done(tx: Tx, publication: str, version: int) -> None:
    """Closes the push once every row has an outcome; the publication is locked. Emits push.batch_closed."""
    if await tx.connection.fetchval(QUERIES["push_is_open"], publication, version):
        return
    if await tx.connection.fetchval(QUERIES["close_push_batch"], publication, version, tx.now) is None:
        return
    tree = TreeHash()
    counts = {"sent": 0, "failed": 0}
    async for row in tx.connection.cursor(QUERIES["push_rows"], publication, version):
        counts[row["state"]] += 1
        tree.add(ledger_leaf(row["id"], row["lane"], row["state"], row["attempts"]))
    tx.emit(
        PushBatchClosed(
            version=version, sent=counts["sent"], failed=counts["failed"], ledger_root=tree.root().hex()
        ),
        subject=publication,
    )


def ledger_leaf(identifier: str, lane: str, state: str, attempts: int) -> bytes:
    """A row of the ledger as a leaf: JSON with these four members in alphabetical order, without spaces."""
    return orjson.dumps({"attempts": attempts, "id": identifier, "lane": lane, "state": state})


async def _start(tx: Tx, publication: str, version: int) -> None:
    shown = await tx.connection.fetchrow(QUERIES["public_publication"], publication)
    if shown is None or shown["version"] != version or shown["state"] == "withdrawn":
        return
    await tx.connection.execute(QUERIES["open_push_batch"], publication, version, tx.now)
    recipients: dict[Lane, int] = {}
    last, due = "", machine_now()
    while page := await tx.connection.fetch(QUERIES["subscribers_page"], shown["topics"], last, _PAGE):
        last = page[-1]["id"]
        for row in page:
            recipients[row["lane"]] = recipients.get(row["lane"], 0) + 1
        await _add(tx, publication, version, [(row["id"], row["lane"]) for row in page], due)
    tx.emit(PushBatchStarted(version=version, recipients=recipients), subject=publication)
    await close_if_done(tx, publication, version)


async def _add(
    tx: Tx, publication: str, version: int, subscribers: list[tuple[str, str]], due: dt.datetime
) -> None:
    await tx.connection.execute(
        QUERIES["insert_push"],
        [derived_id(publication, f"push {version}", subscription) for subscription, _ in subscribers],
        [subscription for subscription, _ in subscribers],
        [lane for _, lane in subscribers],
        publication,
        version,
        tx.now,
        due,
    )
