"""`python -m services.routing`: the process."""

from services.routing.app import build
from shared.service import main

if __name__ == "__main__":
    main("routing", build)
