"""Takes back what publisher had said after its backup: which notices have their result."""

from collections.abc import Sequence

from services.publisher.queries.statements import SQL
from shared.contracts.publisher import NoticeFailed, NoticeSent
from shared.restore.said import SaidEvent
from shared.unit_of_work.transaction import Tx


async def take_back(tx: Tx, facts: Sequence[SaidEvent]) -> set[str]:
    """Ends the deliveries of these facts, so that no citizen gets a letter twice; the ids of those facts.

    Call it when the events that led to the notices are applied again.
    """
    results = [said for said in facts if isinstance(said.event.data, NoticeSent | NoticeFailed)]
    rows = await tx.connection.fetch(
        SQL["record_earlier_results"],
        [said.event.data.notice for said in results],
        [said.event.data.attempts for said in results],
        ["sent" if isinstance(said.event.data, NoticeSent) else "failed" for said in results],
        [said.event.time for said in results],
    )
    written = {row["id"] for row in rows}
    return {said.event.id for said in results if said.event.data.notice in written}
