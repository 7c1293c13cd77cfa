"""Workers, one per lane and priority. Bulk has its own, so that a large push never delays a notice."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from services.publisher.domain.delivery_results import Delivered, GiveUp, TryAgain
from services.publisher.domain.mail_replies import BlockedByPolicy
from services.publisher.metrics import LANE_READY
from services.publisher.push.errors import LaneDown
from services.publisher.push.ledger import LEASE, Attempt, Ledger
from services.publisher.push.mail import MailServer
from services.publisher.push.rendering import Rendered, RenderedMail, RenderedWebhook, Renderer
from services.publisher.push.webhooks import Webhooks
from services.publisher.queries.deliveries import ClaimedDelivery
from shared.infrastructure import is_passing
from shared.logs import get_logger

log = get_logger(__name__)

_MAILS_PER_BATCH = 20
_CONCURRENT_CALLS = 20
_POLL_SECONDS = 0.5
_LONGEST_PAUSE = 60.0


async def work(once: Callable[[], Awaitable[int]], name: str) -> None:
    """Runs `once` until cancelled: again immediately while it finds work, otherwise after half a second.

    `once` gives the number of deliveries that it handled. Infrastructure faults and LaneDown are waited out
    with growing pauses, up to a minute; `name` is the worker's name in the log.
    """
    pause = 1.0
    while True:
        try:
            done = await once()
            pause = 1.0
            if done == 0:
                await asyncio.sleep(_POLL_SECONDS)
        except Exception as error:
            if not is_passing(error, LaneDown):
                raise
            log.warning("deliveries wait", worker=name, error=repr(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


class MailWorker:
    """Sends mails one after the other over one connection. `bulk`: publications; otherwise the rest."""

    def __init__(self, ledger: Ledger, renderer: Renderer, server: MailServer, *, bulk: bool) -> None:
        self._ledger = ledger
        self._renderer = renderer
        self._server = server
        self._bulk = bulk
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled."""
        await work(self.once, f"email {'bulk' if self._bulk else 'notices'}")

    async def once(self) -> int:
        """One batch; the number of deliveries that have a result now. Raises LaneDown.

        When cancelled it finishes the mail that it is sending and records the results: an orderly stop is not
        a crash, and must not make anything go out twice.
        """
        batch = asyncio.create_task(self._send_batch(), name="mail batch")
        try:
            return await asyncio.shield(batch)
        except asyncio.CancelledError:
            self._stopping = True
            await asyncio.gather(batch, return_exceptions=True)
            raise

    async def _send_batch(self) -> int:
        stop = time.monotonic() + LEASE.total_seconds() / 2
        claimed = await self._ledger.claim("email", bulk=self._bulk, limit=_MAILS_PER_BATCH)
        if not claimed:
            return 0
        rendered = await self._renderer.render(claimed)
        mails = [(delivery, content) for delivery, content in rendered if isinstance(content, RenderedMail)]
        done = results_of_rendering(rendered)
        try:
            await self._send(mails, done, stop)
        finally:
            await record(self._ledger, done)
            tried = {attempt.delivery.id for attempt in done}
            await self._ledger.release([delivery for delivery, _ in mails if delivery.id not in tried])
        return len(done)

    async def _send(
        self, mails: Sequence[tuple[ClaimedDelivery, RenderedMail]], done: list[Attempt], stop: float
    ) -> None:
        """Appends to `done`. Ends early when the connection breaks, or long before the lease does."""
        if not mails:
            return
        try:
            async with self._server.session() as session:
                blocked: list[tuple[ClaimedDelivery, BlockedByPolicy]] = []
                for delivery, mail in mails:
                    if self._stopping or not session.is_open or time.monotonic() > stop:
                        break
                    result = await self._ledger.recheck(delivery) or await session.send(mail)
                    if isinstance(result, BlockedByPolicy):
                        blocked.append((delivery, result))
                    else:
                        done.append(Attempt(delivery, result))
                    if isinstance(result, Delivered):
                        self._server.has_accepted()
                done += _results_of_blocked(blocked, done, works=self._server.works)
        except LaneDown:
            LANE_READY.labels("email").set(0)
            raise
        LANE_READY.labels("email").set(1)


class WebhookWorker:
    """Calls several endpoints concurrently; a slow one delays no other. `bulk` as for MailWorker."""

    def __init__(self, ledger: Ledger, renderer: Renderer, webhooks: Webhooks, *, bulk: bool) -> None:
        self._ledger = ledger
        self._renderer = renderer
        self._webhooks = webhooks
        self._bulk = bulk
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await work(self.once, f"webhook {'bulk' if self._bulk else 'notices'}")
        finally:
            # As with mails: a call that has started gets its result; each ends by its own timeout.
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def once(self) -> int:
        """Starts as many calls as may run at once; the number started."""
        ended = {call for call in self._calls if call.done()}
        self._calls -= ended
        for call in ended:
            call.result()
        free = _CONCURRENT_CALLS - len(self._calls)
        if free <= 0:
            await asyncio.wait(self._calls, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return 1
        claimed = await self._ledger.claim("webhook", bulk=self._bulk, limit=free)
        for delivery, content in await self._renderer.render(claimed) if claimed else ():
            self._calls.add(asyncio.create_task(self._attempt(delivery, content), name="webhook"))
        return len(claimed)

    async def _attempt(self, delivery: ClaimedDelivery, content: Rendered) -> None:
        if isinstance(content, RenderedWebhook):
            result = await self._webhooks.deliver(delivery.id, content)
            await record(self._ledger, [Attempt(delivery, result)])
        else:
            await record(self._ledger, results_of_rendering([(delivery, content)]))


def results_of_rendering(rendered: Sequence[tuple[ClaimedDelivery, Rendered]]) -> list[Attempt]:
    """Results of deliveries that have no message to send."""
    return [
        Attempt(delivery, content) for delivery, content in rendered if isinstance(content, GiveUp | TryAgain)
    ]


def _results_of_blocked(
    blocked: Sequence[tuple[ClaimedDelivery, BlockedByPolicy]], done: Sequence[Attempt], *, works: bool
) -> list[Attempt]:
    """Results of mails that a policy blocked: if the server accepted another one, it blocks the recipients.

    So it does if it `works` and blocks a single one. Otherwise raises LaneDown: it blocks us, and no mail is
    charged an attempt for that.
    """
    is_one = len({delivery.recipient for delivery, _ in blocked}) == 1
    accepts = any(isinstance(attempt.result, Delivered) for attempt in done) or (works and is_one)
    if blocked and not accepts:
        raise LaneDown(blocked[0][1].reason)
    return [Attempt(delivery, TryAgain(each.reason)) for delivery, each in blocked]


async def record(ledger: Ledger, attempts: Sequence[Attempt]) -> None:
    """Writes results, retrying while the database is away: they are known only here.

    Raises the database's error after half a lease.
    """
    stop = time.monotonic() + LEASE.total_seconds() / 2
    while attempts:
        try:
            await ledger.record(attempts)
        except Exception as error:
            if not is_passing(error) or time.monotonic() > stop:
                raise
            log.warning("results wait for the database", error=repr(error))
            await asyncio.sleep(1)
        else:
            return
