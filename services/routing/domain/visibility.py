"""What a case's `visibility` means here: who may read what was written about it."""

from collections.abc import Set as AbstractSet

from services.routing.domain.case_file import LIVE, CaseFile


def reads_words(file: CaseFile, units: AbstractSet[str], *, sees_all: bool) -> bool:
    """Whether somebody of these units may read title, text, place and notes.

    A public or withheld case is open to every unit that has ever held it; what is kept from the public is not
    kept from those who work. A secret one (保密) is read by who cannot do without it: the units that hold it
    or have brought it to its end, and those who place and oversee cases. A unit that returned it, or lost it,
    may be the very one that it is about.
    """
    if sees_all or file.visibility != "secret":
        return True
    return any(one.unit in units and (one.state in LIVE or one.state == "done") for one in file.assignments)
