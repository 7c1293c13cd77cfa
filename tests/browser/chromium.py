"""Which Chromium the browser tests drive, and how it is started.

`python -m tests.browser.chromium` says where it is, or what to install.
"""

import os
import shutil
import sys

_NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium was found: install one (on Debian: apt-get install chromium), or name it by CHROMIUM="

FLAGS = (
    "--no-sandbox",  # root, as in CI, has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # What a page should not ask for is refused at once, and does not wait for a name server.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str | None:
    """The path of the program that `CHROMIUM` names, else of the first one on PATH."""
    named = os.environ.get("CHROMIUM")
    names = (named,) if named else _NAMES
    return next((path for path in map(shutil.which, names) if path), None)


if __name__ == "__main__":
    sys.exit(0 if find_chromium() else MISSING)
