"""Who may read what was written about a case, by its `visibility`."""

from collections.abc import Set as AbstractSet

from services.routing.domain.case_file import LIVE, CaseFile


def reads_words(file: CaseFile, units: AbstractSet[str], *, sees_all: bool) -> bool:
    """Whether a person or machine of these units may read title, text, place and notes.

    Every unit that ever held a public or withheld case may read it: `withheld` protects it from the public,
    not from staff. A secret case (保密) is open only to the units that hold it or brought it to its end, and
    to those who dispatch and oversee cases: a unit that returned or lost it may be the subject of the
    complaint.
    """
    if sees_all or file.visibility != "secret":
        return True
    return any(one.unit in units and (one.state in LIVE or one.state == "done") for one in file.assignments)
