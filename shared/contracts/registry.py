"""Importing this module registers every type; `REGISTRY` maps a type to its contract."""

from shared.contracts import audit, inquiry, publisher, routing
from shared.contracts.base import FAMILIES, REGISTRY, Contract, EventData

__all__ = [
    "FAMILIES",
    "REGISTRY",
    "Contract",
    "audit",
    "by_writer",
    "inquiry",
    "publisher",
    "routing",
    "writers",
]


def writers() -> list[tuple[str, str]]:
    """(writer, logical topic) pairs, without repetition; the writer of an action is `unit`."""
    # Sorted by type, since the registry's order depends on the order of imports.
    return list(dict.fromkeys((REGISTRY[name].writer, REGISTRY[name].topic) for name in sorted(REGISTRY)))


def by_writer(writer: str, name: str) -> type[EventData]:
    """The data class of `civic.<writer>.<name>.v1`; each service has its own of some kinds of event.

    Raises KeyError for an unknown type.
    """
    return REGISTRY[f"civic.{writer}.{name}.v1"].data_type
