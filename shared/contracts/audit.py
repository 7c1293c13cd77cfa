"""Events of audit about cases: `subject` is the inquiry id."""

from shared.contracts.base import contract
from shared.contracts.common import WaitEnded
from shared.contracts.inquiry import NoteWords


@contract("civic.audit.wait_ended.v1", writer="audit", words=NoteWords)
class AuditWaitEnded(WaitEnded):
    """An operator gave up what audit expected about a case."""
