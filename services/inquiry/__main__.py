"""`python -m services.inquiry`"""

from services.inquiry.app import build
from shared.service import main

main("inquiry", build)
