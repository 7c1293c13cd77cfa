"""`python -m services.publisher`."""

from services.publisher.app import build
from services.publisher.config import PublisherSettings
from shared.service import main

main("publisher", build, PublisherSettings)
