"""Where tests find things outside themselves."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("CIVICLOOM_SHARED", REPO / ".." / "shared"))
