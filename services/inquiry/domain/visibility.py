"""What a case's `visibility` means here: who of the staff may read what the citizen wrote."""

from collections.abc import Set as AbstractSet

_READ_SECRETS = frozenset({"clerk", "oversight"})


def reads_words(visibility: str, roles: AbstractSet[str]) -> bool:
    """Whether somebody with these roles may read the words; a machine has none.

    Public and withheld cases are open to all who may see cases at all. A secret one (保密) is read by who
    cannot do without it: clerks, who accept it, and oversight.
    """
    return visibility != "secret" or not _READ_SECRETS.isdisjoint(roles)
