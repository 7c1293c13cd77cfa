"""A mail server that delivers nothing: it writes every mail to a file.

`python -m deploy.local.mail PORT FOLDER`; it listens on 127.0.0.1 only.
"""

import argparse
import asyncio
import itertools
import signal
from pathlib import Path

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session

_KEPT = 500
"""A sample city sends mail without end; the oldest files are deleted."""


class Folder:
    """Keeps the mails in a folder, `000001.eml` onwards."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        last = max((int(file.stem) for file in folder.glob("*.eml")), default=0)
        self._numbers = itertools.count(last + 1)

    # aiosmtpd calls it by this name.
    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        number = next(self._numbers)
        (self._folder / f"{number:06}.eml").write_bytes(envelope.original_content or b"")
        (self._folder / f"{number - _KEPT:06}.eml").unlink(missing_ok=True)
        return "250 kept"


async def serve(port: int, folder: Path) -> None:
    """Runs until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    controller = UnthreadedController(Folder(folder), hostname="127.0.0.1", port=port, loop=loop)
    server = await loop.create_server(controller.factory, host="127.0.0.1", port=port)
    async with server:
        await over.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.mail", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.folder))


if __name__ == "__main__":
    main()
