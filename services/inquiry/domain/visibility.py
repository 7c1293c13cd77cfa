"""What `visibility` means for staff: which roles may read what the citizen wrote."""

from collections.abc import Set as AbstractSet

_READ_SECRETS = frozenset({"clerk", "oversight"})


def reads_words(visibility: str, roles: AbstractSet[str]) -> bool:
    """Whether a person with these roles may read the words. A machine has no roles.

    The words of public and withheld cases are open to everyone with access to cases. Those of a secret case
    (保密) are only for clerks, who need them to accept it, and for oversight.
    """
    return visibility != "secret" or not _READ_SECRETS.isdisjoint(roles)
