"""`python -m services.routing`: the process."""

from services.routing.app import build
from shared.service import main
from shared.settings import CoreSettings

if __name__ == "__main__":
    main("routing", build, CoreSettings)
