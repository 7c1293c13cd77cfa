"""Wires the publisher. The only file that knows all its parts."""

import asyncio
from functools import partial
from zoneinfo import ZoneInfo

from services.publisher import commands, subscriptions
from services.publisher.config import PublisherSettings
from services.publisher.handlers import make_handlers
from services.publisher.http.api import api_router
from services.publisher.http.desk import desk_router
from services.publisher.http.edge import Context
from services.publisher.http.feeds import feeds_router
from services.publisher.http.reading import reading_router
from services.publisher.http.subscribed import subscribed_router
from services.publisher.http.subscribing import subscribing_router
from services.publisher.metrics import LANE_READY
from services.publisher.push import batches
from services.publisher.push.guard import Guard
from services.publisher.push.ledger import Ledger
from services.publisher.push.letters import Office
from services.publisher.push.mail import MailServer
from services.publisher.push.parcels import Packing
from services.publisher.push.webhooks import Webhooks
from services.publisher.push.workers import MailWorker, WebhookWorker
from services.publisher.subscriptions import Secrets
from shared.policy.loader import load_pack
from shared.service import Loop, Parts
from shared.unit_of_work.database import Database
from shared.unit_of_work.timers import Timers
from shared.web.health import Reasons
from shared.web.pages import Pages


async def build(database: Database, settings: PublisherSettings) -> Parts:
    """The publisher's parts. Raises PolicyError for a bad pack."""
    pack = await asyncio.to_thread(load_pack, settings.policies_dir / settings.pack)
    pages = Pages("services.publisher")
    secrets = Secrets(settings.secret_key.get_secret_value())
    office = Office(settings.public_url, settings.sender, ZoneInfo(pack.timezone), pages.catalogue)
    guard = Guard(settings.allow_private_webhooks)
    packing = Packing(database.pool, secrets, office)
    server = MailServer(settings.smtp_url.get_secret_value(), office.sender) if settings.smtp_url else None
    context = Context(
        database=database,
        pages=pages,
        secrets=secrets,
        guard=guard,
        public_url=settings.public_url,
        policy=pack.version,
        jurisdiction=pack.jurisdiction,
        mail_works=server is not None,
        plain_http=settings.allow_private_webhooks,
    )
    return Parts(
        title="Civicloom publisher",
        routers=[
            api_router(context),
            reading_router(context),
            feeds_router(context),
            desk_router(context),
            subscribing_router(context),
            subscribed_router(context),
        ],
        handlers=make_handlers(secrets.keyring, plain_http=settings.allow_private_webhooks),
        topics=["inquiry", "routing", "contact"],
        register_timers=_register_timers,
        loops=_loops(Ledger(database), packing, guard, server),
        degraded=_waiting_lanes(server),
        pages=pages,
    )


def _register_timers(timers: Timers) -> None:
    timers.on(commands.PUSH)(batches.start)
    timers.on(subscriptions.LAPSE)(subscriptions.lapse)


def _waiting_lanes(server: MailServer | None) -> Reasons:
    async def waiting() -> dict[str, str]:
        if server is None:
            return {"email": "SMTP_URL is not set, so mails wait"}
        if server.away:
            return {"email": "the mail server does not answer or does not take our mails, so they wait"}
        return {}

    return waiting


def _loops(ledger: Ledger, packing: Packing, guard: Guard, server: MailServer | None) -> list[Loop]:
    async def webhooks(*, bulk: bool) -> None:
        async with Webhooks(guard) as client:
            await WebhookWorker(ledger, packing, client, bulk=bulk).run()

    LANE_READY.labels("webhook").set(1)
    LANE_READY.labels("email").set(0 if server is None else 1)
    loops: list[Loop] = [partial(webhooks, bulk=bulk) for bulk in (False, True)]
    if server is not None:
        loops += [MailWorker(ledger, packing, server, bulk=bulk).run for bulk in (False, True)]
    return loops
