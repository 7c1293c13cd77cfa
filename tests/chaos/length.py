"""How long chaos goes on: `CHAOS=long` and `CHAOS_SECONDS` ask for more than CI does."""

import os

LONG = os.environ.get("CHAOS", "short") == "long"
SECONDS = float(os.environ.get("CHAOS_SECONDS", "600" if LONG else "30"))
