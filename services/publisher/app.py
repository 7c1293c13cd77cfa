"""Wires the publisher. The only file that knows all its parts."""

import asyncio
from functools import partial
from zoneinfo import ZoneInfo

from services.publisher.config import PublisherSettings
from services.publisher.derived_secrets import DerivedSecrets
from services.publisher.handlers import build_handlers
from services.publisher.http import (
    desk_pages,
    feeds,
    pages,
    publications_api,
    subscription_pages,
    subscriptions_api,
)
from services.publisher.http.context import Context
from services.publisher.metrics import LANE_READY
from services.publisher.push.guard import Guard
from services.publisher.push.ledger import Ledger
from services.publisher.push.mail import MailServer
from services.publisher.push.mail_messages import MailSettings
from services.publisher.push.rendering import Renderer
from services.publisher.push.webhooks import Webhooks
from services.publisher.push.workers import MailWorker, WebhookWorker
from services.publisher.timers import register_timers
from shared.policy.loader import load_pack
from shared.service import Loop, Parts
from shared.unit_of_work.database import Database
from shared.web.health import Reasons
from shared.web.pages import Pages

ROUTERS = (
    publications_api.router,
    pages.router,
    feeds.router,
    desk_pages.router,
    subscriptions_api.router,
    subscription_pages.router,
)


async def build(database: Database, settings: PublisherSettings) -> Parts:
    """The publisher's parts. Raises PolicyError for a bad pack."""
    pack = await asyncio.to_thread(load_pack, settings.policies_dir / settings.pack)
    templates = Pages("services.publisher")
    secrets = DerivedSecrets(settings.secret_key.get_secret_value())
    public_url, sender = settings.public_url, settings.sender
    mail_settings = MailSettings(public_url, sender, ZoneInfo(pack.timezone), templates.catalogue)
    guard = Guard(settings.allow_private_webhooks)
    renderer = Renderer(database, secrets, mail_settings)
    server = MailServer(settings.smtp_url.get_secret_value(), sender) if settings.smtp_url else None
    return Parts(
        title="Civicloom publisher",
        routers=ROUTERS,
        handlers=build_handlers(secrets.keyring, plain_http=settings.allow_private_webhooks),
        topics=["inquiry", "routing", "contact"],
        patience=0.5,  # nobody waits for a mail
        register_timers=register_timers,
        loops=_loops(Ledger(database), renderer, guard, server),
        degraded=_waiting_lanes(server),
        pages=templates,
        context=Context(
            database=database,
            pages=templates,
            secrets=secrets,
            guard=guard,
            public_url=public_url,
            policy=pack.version,
            jurisdiction=pack.jurisdiction,
            mail_works=server is not None,
            plain_http=settings.allow_private_webhooks,
        ),
    )


def _waiting_lanes(server: MailServer | None) -> Reasons:
    async def waiting() -> dict[str, str]:
        if server is None:
            return {"email": "SMTP_URL is not set, so mails wait"}
        if server.away:
            return {"email": "the mail server does not answer or does not take our mails, so they wait"}
        return {}

    return waiting


def _loops(ledger: Ledger, renderer: Renderer, guard: Guard, server: MailServer | None) -> list[Loop]:
    async def webhooks(*, bulk: bool) -> None:
        async with Webhooks(guard) as client:
            await WebhookWorker(ledger, renderer, client, bulk=bulk).run()

    LANE_READY.labels("webhook").set(1)
    LANE_READY.labels("email").set(0 if server is None else 1)
    loops: list[Loop] = [partial(webhooks, bulk=bulk) for bulk in (False, True)]
    if server is not None:
        loops += [MailWorker(ledger, renderer, server, bulk=bulk).run for bulk in (False, True)]
    return loops
