"""What routing asks of a pack (`shared.packs` keeps the versions): its compiled catalogue, and its units."""

from shared.policy.dispatch import Catalogue
from shared.policy.model import Pack

_COMPILED: dict[str, Catalogue] = {}
"""By pack version, which names the contents: compiling takes too long to be done for every case."""


def catalogue_of(pack: Pack) -> Catalogue:
    """The dispatch catalogue (派单目录) of this version. Raises PolicyError if two of its rows overlap."""
    if pack.version not in _COMPILED:
        _COMPILED[pack.version] = Catalogue(pack)
    return _COMPILED[pack.version]


def unit_has_topic(pack: Pack, unit: str) -> bool:
    """Whether the unit (承办单位) reads its cases from Kafka; the others use the desk."""
    found = pack.departments_by_code.get(unit)
    return found is not None and found.kafka
