"""Workers: one for each lane and speed. Bulk has its own, so that a great push never delays a notice."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from services.publisher.domain.delivery_results import Delivered, GiveUp, TryAgain
from services.publisher.domain.mail_replies import BlockedByPolicy
from services.publisher.metrics import LANE_READY
from services.publisher.push.ledger import LEASE, Attempt, ClaimedDelivery, Ledger
from services.publisher.push.mail import LaneDown, MailServer
from services.publisher.push.rendering import Rendered, RenderedMail, RenderedWebhook, Renderer
from services.publisher.push.webhooks import Webhooks
from shared.infrastructure import is_passing
from shared.logs import get_logger

log = get_logger(__name__)

_LETTERS = 20
_CALLS = 20
_POLL_SECONDS = 0.5
_LONGEST_PAUSE = 60.0


async def work(once: Callable[[], Awaitable[int]], name: str) -> None:
    """Runs `once` until cancelled: again at once while there is work, else after half a second."""
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
    """Sends letters one after the other over one connection."""

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
        """One batch; the number of deliveries that have an result now. Raises LaneDown.

        Cancelled, it still finishes the letter in hand and records what was sent: an orderly stop is no
        crash, and must not send anything a second time.
        """
        batch = asyncio.create_task(self._send_batch(), name="letters")
        try:
            return await asyncio.shield(batch)
        except asyncio.CancelledError:
            self._stopping = True
            await asyncio.gather(batch, return_exceptions=True)
            raise

    async def _send_batch(self) -> int:
        stop = time.monotonic() + LEASE.total_seconds() / 2
        claimed = await self._ledger.claim("email", bulk=self._bulk, limit=_LETTERS)
        if not claimed:
            return 0
        rendered = await self._renderer.render(claimed)
        letters = [(delivery, content) for delivery, content in rendered if isinstance(content, RenderedMail)]
        done = known_results(rendered)
        try:
            await self._send(letters, done, stop)
        finally:
            await record(self._ledger, done)
            tried = {attempt.delivery.id for attempt in done}
            await self._ledger.release([delivery for delivery, _ in letters if delivery.id not in tried])
        return len(done)

    async def _send(
        self, letters: Sequence[tuple[ClaimedDelivery, RenderedMail]], done: list[Attempt], stop: float
    ) -> None:
        """Adds to `done`. Ends early when the connection breaks, or long before the lease does."""
        if not letters:
            return
        try:
            async with self._server.session() as session:
                barred: list[tuple[ClaimedDelivery, BlockedByPolicy]] = []
                for delivery, letter in letters:
                    if self._stopping or not session.is_open or time.monotonic() > stop:
                        break
                    result = await self._renderer.recheck(delivery) or await session.send(letter)
                    if isinstance(result, BlockedByPolicy):
                        barred.append((delivery, result))
                    else:
                        done.append(Attempt(delivery, result))
                done += _judged(barred, done)
        except LaneDown:
            LANE_READY.labels("email").set(0)
            raise
        LANE_READY.labels("email").set(1)


class WebhookWorker:
    """Calls some endpoints at a time; a slow one delays nobody but itself."""

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
            # As with letters: what was begun gets its result; each call ends by its own timeout.
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def once(self) -> int:
        """Begins as many calls as there are free places; the number begun."""
        ended = {call for call in self._calls if call.done()}
        self._calls -= ended
        for call in ended:
            call.result()
        free = _CALLS - len(self._calls)
        if free <= 0:
            await asyncio.wait(self._calls, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return 1
        claimed = await self._ledger.claim("webhook", bulk=self._bulk, limit=free)
        for delivery, content in await self._renderer.render(claimed) if claimed else ():
            self._calls.add(asyncio.create_task(self._attempt(delivery, content), name="webhook"))
        return len(claimed)

    async def drain(self) -> None:
        """Waits until every call that was begun has its result recorded."""
        if self._calls:
            await asyncio.gather(*self._calls)

    async def _attempt(self, delivery: ClaimedDelivery, content: Rendered) -> None:
        if isinstance(content, RenderedWebhook):
            await record(
                self._ledger, [Attempt(delivery, await self._webhooks.deliver(delivery.id, content))]
            )
        else:
            await record(self._ledger, known_results([(delivery, content)]))


def known_results(rendered: Sequence[tuple[ClaimedDelivery, Rendered]]) -> list[Attempt]:
    """Those whose result is known without trying."""
    return [
        Attempt(delivery, content) for delivery, content in rendered if isinstance(content, GiveUp | TryAgain)
    ]


def _judged(
    barred: Sequence[tuple[ClaimedDelivery, BlockedByPolicy]], done: Sequence[Attempt]
) -> list[Attempt]:
    """Who is barred, we or they: a server that took another letter means these recipients.

    Raises LaneDown if it took none: no letter has to pay for that with an attempt.
    """
    if barred and not any(isinstance(attempt.result, Delivered) for attempt in done):
        raise LaneDown(barred[0][1].reason)
    return [Attempt(delivery, TryAgain(each.reason)) for delivery, each in barred]


async def record(ledger: Ledger, attempts: Sequence[Attempt]) -> None:
    """Writes outcomes, again and again while the database is away: they are known now and only now."""
    stop = time.monotonic() + LEASE.total_seconds() / 2
    while attempts:
        try:
            await ledger.record(attempts)
        except Exception as error:
            if not is_passing(error) or time.monotonic() > stop:
                raise
            log.warning("outcomes wait for the database", error=repr(error))
            await asyncio.sleep(1)
        else:
            return
