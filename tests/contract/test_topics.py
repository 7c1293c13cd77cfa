"""Who writes a topic: one service, which keeps its width, or the unit's own system."""

from collections import defaultdict

from shared.contracts.addresses import ADDRESSES
from shared.contracts.registry import REGISTRY
from shared.settings import SERVICES


def test_each_topic_has_one_writer() -> None:
    """Two services would each keep a width of the topic, taken at different times."""
    writers = defaultdict(set)
    for contract in REGISTRY.values():
        writers[contract.topic].add(contract.writer)
    assert writers.keys() <= ADDRESSES.keys()
    assert {topic: names for topic, names in writers.items() if len(names) > 1} == {}
    assert writers.pop("actions") == {"unit"}
    assert {name for names in writers.values() for name in names} <= set(SERVICES)
