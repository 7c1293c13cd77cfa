"""Pack versions: from the table, else from the folder, and loaded once."""

import asyncio
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from shared import packs as module
from shared.packs import MISS_SECONDS, QUERIES, PackNotHere, Packs, open_pack
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import CoreSettings
from tests.paths import REPO
from tests.unit.shared.made import FakeConnection

SETTINGS = CoreSettings(secret_key=SecretStr("00" * 32))


class Keeper(FakeConnection):
    """The connection by which versions are stored."""

    async def execute(self, query: str, *arguments: Any, **_: float) -> str:
        return await super().execute(query, *arguments)

    async def close(self, **_: float) -> None:
        self.executed.append(("close", ()))


async def opened(settings: CoreSettings = SETTINGS, **answers: Any) -> tuple[Packs, Any, Keeper]:
    """The packs, the caller's connection, and the one by which they store."""
    keeper = Keeper()

    async def connect() -> Keeper:
        return keeper

    database: Any = SimpleNamespace(connect=connect)
    packs = await Packs.open(database, settings)
    return packs, FakeConnection(**answers), keeper


def stored(keeper: Keeper) -> list[str]:
    return [arguments[0] for query, arguments in keeper.executed if query == QUERIES["keep_policy_version"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPO / "policies" / "cn-city", tmp_path / "cn-city"))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which a folder was loaded."""
    seen: list[threading.Thread] = []

    def load(folder: Path) -> Pack:
        seen.append(threading.current_thread())
        return load_pack(folder)

    monkeypatch.setattr(module, "load_pack", load)
    return seen


def settings_of(folder: Path) -> CoreSettings:
    return SETTINGS.model_copy(update={"policies_dir": folder.parent, "pack": folder.name})


def renew(folder: Path) -> str:
    areas = folder / "areas.csv"
    areas.write_text(areas.read_text().replace("云溪区", "新云溪区", 1))
    return load_pack(folder).version


async def test_the_current_version_is_stored_before_a_case_can_refer_to_it() -> None:
    packs, _, keeper = await opened()
    assert stored(keeper) == [packs.current.version]
    assert keeper.executed[-1] == ("close", ())
    assert packs.of(None) is packs.of(packs.current.version) is packs.current is open_pack(SETTINGS)


async def test_another_version_is_read_from_the_table_once() -> None:
    other = load_pack(SETTINGS.policies_dir / "us-city")
    packs, caller, keeper = await opened(
        **{QUERIES["read_policy_versions"]: [{"content": other.to_json().decode()}]}
    )
    with pytest.raises(PackNotHere):
        packs.of(other.version)
    assert (await packs.find(caller, other.version)).version == other.version
    caller.executed.clear()
    await packs.load(caller, [other.version, packs.current.version, None])
    assert caller.executed == []
    assert stored(keeper) == [packs.current.version]


async def test_a_version_of_a_folder_that_was_renewed_is_stored_apart_from_the_caller(folder: Path) -> None:
    packs, caller, keeper = await opened(settings_of(folder))
    new = renew(folder)
    assert (await packs.find(caller, new)).version == new
    assert stored(keeper) == [packs.current.version, new]
    assert [query for query, _ in caller.executed] == [QUERIES["read_policy_versions"]]


async def test_a_version_that_could_not_be_stored_is_not_known(folder: Path) -> None:
    packs, caller, keeper = await opened(settings_of(folder))
    new = renew(folder)

    async def fails(*_: Any, **__: Any) -> str:
        raise TimeoutError

    keeper.execute = fails  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        await packs.load(caller, [new])
    with pytest.raises(PackNotHere):
        packs.of(new)
    del keeper.execute  # type: ignore[method-assign]
    assert (await packs.find(caller, new)).version == new


async def test_a_version_that_is_nowhere_is_looked_for_in_the_folder_once_a_minute(
    loads: list[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    packs, caller, keeper = await opened()
    loads.clear()
    for _ in range(3):
        with pytest.raises(PackNotHere, match="policy version cn-city@none is not known here"):
            await packs.find(caller, "cn-city@none")
    assert len(loads) == 1
    assert [query for query, _ in caller.executed] == [QUERIES["read_policy_versions"]] * 3
    await packs.load(caller, ["cn-city@other"])
    assert len(loads) == 2
    later = time.monotonic() + MISS_SECONDS + 1
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: later))
    await packs.load(caller, ["cn-city@none"])
    assert len(loads) == 3
    assert stored(keeper) == [packs.current.version]


async def test_the_folder_is_loaded_once_for_all_that_wait_and_not_in_the_event_loop(
    folder: Path, loads: list[threading.Thread]
) -> None:
    packs, caller, _ = await opened(settings_of(folder))
    new = renew(folder)
    loads.clear()
    await asyncio.gather(*(packs.load(caller, [new]) for _ in range(5)))
    assert len(loads) == 1
    assert loads[0] is not threading.main_thread()
    assert "calendar" in vars(packs.of(new))  # compiled there too


async def test_a_folder_that_is_being_edited_stops_only_the_versions_that_need_it(folder: Path) -> None:
    packs, caller, keeper = await opened(settings_of(folder))
    (folder / "areas.csv").write_text("code,")
    with pytest.raises(PackNotHere):
        await packs.find(caller, "cn-city@new")
    assert await packs.find(caller, packs.current.version) is packs.current
    assert stored(keeper) == [packs.current.version]


async def test_a_folder_of_another_version_than_is_asked_for_is_not_stored(folder: Path) -> None:
    packs, caller, keeper = await opened(settings_of(folder))
    renew(folder)
    await packs.load(caller, ["cn-city@none"])
    assert stored(keeper) == [packs.current.version]
