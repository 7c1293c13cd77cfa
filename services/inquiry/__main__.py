"""`python -m services.inquiry`"""

from services.inquiry.app import build
from services.inquiry.config import InquirySettings
from shared.service import main

main("inquiry", build, InquirySettings)
