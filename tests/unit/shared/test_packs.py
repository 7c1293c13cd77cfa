"""Pack versions: from the table, else from the folder, and loaded once."""

from typing import Any

import pytest
from pydantic import SecretStr

from shared.packs import QUERIES, PackNotHere, Packs, open_pack
from shared.policy.loader import load_pack
from shared.settings import CoreSettings
from tests.unit.shared.made import FakeConnection

SETTINGS = CoreSettings(secret_key=SecretStr("00" * 32))


async def opened(**answers: Any) -> tuple[Packs, FakeConnection]:
    database: Any = FakeConnection(**answers)
    packs = await Packs.open(database, SETTINGS)
    return packs, database


async def test_the_current_version_is_stored_before_a_case_can_refer_to_it() -> None:
    packs, database = await opened()
    ((query, arguments),) = database.executed
    assert (query, arguments[0]) == (QUERIES["keep_policy_version"], packs.current.version)
    assert packs.of(None) is packs.of(packs.current.version) is packs.current is open_pack(SETTINGS)


async def test_another_version_is_read_from_the_table_once() -> None:
    other = load_pack(SETTINGS.policies_dir / "us-city")
    packs, database = await opened(
        **{QUERIES["read_policy_versions"]: [{"content": other.to_json().decode()}]}
    )
    readable: Any = database
    with pytest.raises(PackNotHere):
        packs.of(other.version)
    assert (await packs.find(readable, other.version)).version == other.version
    database.executed.clear()
    await packs.load(readable, [other.version, packs.current.version, None])
    assert database.executed == []


async def test_a_version_that_is_nowhere_is_looked_for_in_the_folder() -> None:
    packs, database = await opened()
    readable: Any = database
    database.executed.clear()
    with pytest.raises(PackNotHere, match="policy version cn-city@none is not known here"):
        await packs.find(readable, "cn-city@none")
    assert [query for query, _ in database.executed] == [
        QUERIES["read_policy_versions"],
        QUERIES["keep_policy_version"],
    ]
