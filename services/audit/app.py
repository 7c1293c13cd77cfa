"""Wires audit: the log's writer, the public log, oversight, and traces."""

from services.audit.config import AuditSettings
from services.audit.http import log, oversight, traces
from services.audit.http.context import Context
from services.audit.log import queries as log_queries
from services.audit.log.files import LogFiles
from services.audit.log.keyfile import open_or_make
from services.audit.log.published import PublishedLog
from services.audit.log.subjects import KeyBox
from services.audit.tracing.exporter import Exporter
from services.audit.writer import TOPICS, Writer
from shared.service import Loop, Parts
from shared.unit_of_work.database import Database
from shared.web.pages import Pages


async def build(database: Database, settings: AuditSettings) -> Parts:
    """The parts of audit.

    Raises Malformed or LogBroken if the log's key file is damaged or gone.
    """
    folder = settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    files = LogFiles(folder)
    has_log = files.checkpoint() is not None or await log_queries.has_begun(database.pool)
    signer = open_or_make(settings.key_file, settings.origin, has_log=has_log)
    keys = KeyBox(settings.key("audit subject keys"))
    writer = Writer(database, signer, keys, files)
    pages = Pages("services.audit")
    loops: list[Loop] = [writer.run]
    if settings.traces_url is not None:
        loops.append(Exporter(database, writer.log_size, settings.traces_url, settings.traces_headers).run)

    async def ready() -> dict[str, str]:
        return writer.health.trouble

    return Parts(
        title="Civicloom audit",
        routers=[log.router, oversight.router, traces.router],
        loops=loops,
        also_reads=TOPICS,
        ready=ready,
        pages=pages,
        context=Context(database, PublishedLog(folder, signer.verifier), writer.log_size, pages),
    )
