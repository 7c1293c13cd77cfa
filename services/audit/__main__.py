"""`python -m services.audit`."""

from services.audit.app import build
from shared.service import main

main("audit", build)
