"""`python -m services.audit`."""

from services.audit.app import build
from services.audit.config import AuditSettings
from shared.service import main

main("audit", build, AuditSettings)
