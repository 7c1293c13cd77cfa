"""The model of the core has a real database and plays the broker itself."""

from collections.abc import Iterator

import pytest

from deploy.local.pair import Pair, temporary_folder


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    with temporary_folder() as folder, Pair(folder, bootstrap="unused:1", durable=False) as running:
        yield running
