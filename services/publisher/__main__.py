"""`python -m services.publisher`."""

from services.publisher.app import build
from shared.service import main

main("publisher", build)
