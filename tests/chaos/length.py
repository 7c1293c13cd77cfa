"""How long chaos goes on: `CHAOS=long` and `CHAOS_SECONDS` ask for more than CI does.

`CHAOS_SEED` draws other faults, in another order.
"""

import os

LONG = os.environ.get("CHAOS", "short") == "long"
SECONDS = float(os.environ.get("CHAOS_SECONDS", "3600" if LONG else "30"))
RESOURCE_SECONDS = 60.0 if LONG else 5.0
SEED = int(os.environ.get("CHAOS_SEED", "20261124"))
