"""Wires audit: the writer of the log, the public log, the desk of oversight, and traces."""

from services.audit.config import AuditSettings
from services.audit.http.log import log_router
from services.audit.http.oversight import oversight_router
from services.audit.http.traces import traces_router
from services.audit.log.files import LogFiles
from services.audit.log.keyfile import open_or_make
from services.audit.log.subjects import KeyBox
from services.audit.queries import QUERIES
from services.audit.tracing.exporter import Exporter
from services.audit.writer import Writer
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
    has_log = files.checkpoint() is not None or await database.pool.fetchval(QUERIES["log_has_begun"])
    signer = open_or_make(settings.key_file, settings.origin, has_log=has_log)
    keys = KeyBox(settings.key("audit subject keys"))
    writer = Writer(database, signer, keys, files)
    pages = Pages("services.audit")
    loops: list[Loop] = [writer.run]
    if settings.traces_url is not None:
        loops.append(Exporter(database, writer.growth, settings.traces_url, settings.traces_headers).run)

    async def ready() -> dict[str, str]:
        return writer.trouble

    return Parts(
        title="Civicloom audit",
        routers=[
            log_router(database, folder, signer.verifier, pages),
            oversight_router(database, writer.growth, pages),
            traces_router(database),
        ],
        loops=loops,
        ready=ready,
        pages=pages,
    )
