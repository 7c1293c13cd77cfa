"""The embedded pair for every test that asks for it, and a database and a topic namespace per module."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import hypothesis
import pytest
import structlog

from deploy.local.pair import Pair, temporary_folder
from tests.chaos.length import SECONDS

# On two busy cores a deadline per example says more about the neighbours than about the code.
hypothesis.settings.register_profile("civicloom", deadline=None)
# For `make mutants`: the same examples each time, and none that shrink.
hypothesis.settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile("civicloom")

# Else every logged exception is drawn with its local variables, which takes seconds.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """A pair on fresh data for the whole run; `DATABASE_URL` and `KAFKA_BOOTSTRAP` name others instead.

    It does not wait for the disk: tests of durability start servers of their own.
    """
    with temporary_folder() as folder, Pair(folder, durable=False) as running:
        yield running


@pytest.fixture(scope="module")
def database(pair: Pair) -> Iterator[str]:
    """The superuser's URL of an empty database that only this module uses.

    Roles belong to the server, not to the database: modules share them.
    """
    name = f"test_{secrets.token_hex(6)}"
    _wait_for(_execute(pair.database_url, f'CREATE DATABASE "{name}"'))
    yield urlsplit(pair.database_url)._replace(path=f"/{name}").geturl()
    _wait_for(_execute(pair.database_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="module")
def namespace(pair: Pair) -> str:
    """A topic namespace (the setting TOPIC_NAMESPACE) that only this module uses on the shared broker."""
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """Like `tmp_path`, but servers that stepped down from root may enter it."""
    with temporary_folder() as folder:
        yield folder


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _wait_for(work: Coroutine[object, object, None]) -> None:
    """Runs it on a loop of its own, so that plain and asynchronous tests can use the same fixtures."""
    with ThreadPoolExecutor(1) as apart:
        apart.submit(asyncio.run, work).result()


# Files whose few tests take longest: begun first, they do not leave one worker alone at the end.
_LONG = (
    "test_run.py",
    "test_baltimore.py",
    "test_petitions.py",
    "test_writer.py",
    "test_import.py",
    "test_clock_driver.py",
)


# Seconds that a test function may take where the limit of pyproject.toml is too short. Chaos waits for an
# installation to come to rest, containers are built, a browser visits a page in four looks.
_LIMITS = {"chaos": 600 + SECONDS, "browser": 240, "containers": 3600}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limits by folder; and with `--no-loadscope-reorder` workers take the files in this order."""
    for item in items:
        if limit := _LIMITS.get(item.path.parent.name):
            item.add_marker(pytest.mark.timeout(limit))
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))
