"""The check for breaking changes: it finds every sort, and lets through what breaks nobody."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services import cli
from shared.contracts.compatibility import incompatible_changes
from shared.contracts.folder import GOLDEN, generated, schemas_in
from tests.paths import REPO

TYPE = "civic.inquiry.received.v1"
Change = Callable[[dict[str, Any]], object]


TODAY = schemas_in(generated({}))


def schemas() -> dict[str, Any]:
    return copy.deepcopy(dict(TODAY))


def data_of(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"]["InquiryReceived"]
    return found


def rename(schema: dict[str, Any], old: str, new: str) -> None:
    properties = data_of(schema)["properties"]
    properties[new] = properties.pop(old)


def of(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda schema: data_of(schema)["properties"][name]


BREAKING: dict[str, tuple[Change, str]] = {
    "a removed field": (lambda s: data_of(s)["properties"].pop("urgent"), "data.urgent was removed"),
    "a renamed field": (lambda s: rename(s, "area", "district"), "data.area was removed or renamed"),
    "another type": (lambda s: of("urgent")(s).update(type="string"), "data.urgent changed: type"),
    "a field that may be null": (
        lambda s: data_of(s)["properties"].update(number={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "data.number takes other types",
    ),
    "a field inside a list of alternatives": (
        lambda s: of("hint")(s)["anyOf"][0].update(maxLength=10),
        "data.hint changed: maxLength was 64 and is 10",
    ),
    "a field newly required": (
        lambda s: data_of(s)["required"].append("area"),
        "data.area is newly required",
    ),
    "a new required field": (
        lambda s: (
            data_of(s)["properties"].update(lane={"type": "string"}),
            data_of(s)["required"].append("lane"),
        ),
        "data.lane is newly required",
    ),
    "a field no longer required": (
        lambda s: data_of(s)["required"].remove("number"),
        "data.number is no longer required",
    ),
    "a lost value": (lambda s: of("kind")(s)["enum"].remove("report"), "data.kind lost the value 'report'"),
    "a value that older readers do not know": (
        lambda s: of("kind")(s)["enum"].append("praise"),
        "data.kind got the value 'praise'",
    ),
    "a free field that became a list of values": (
        lambda s: of("service_code")(s).update(enum=["a"]),
        "data.service_code became a list of values",
    ),
    "a shorter text": (lambda s: of("service_code")(s).update(maxLength=20), "data.service_code changed"),
    "a new bound": (lambda s: of("number")(s).update(maxLength=20), "data.number was narrowed: maxLength"),
    "a bound taken away": (
        lambda s: of("service_code")(s).pop("maxLength"),
        "data.service_code was widened: maxLength",
    ),
    "another pattern": (
        lambda s: of("secret_hash")(s).update(pattern="^[0-9A-F]{64}$"),
        "data.secret_hash changed: pattern",
    ),
    "another default": (
        lambda s: of("visibility")(s).update(default="withheld"),
        "data.visibility changed: default",
    ),
    "a change inside a nested model": (
        lambda s: s["$defs"]["Deadline"]["properties"]["amount"].update(type="number"),
        "data.deadline.amount changed: type",
    ),
    "a removed attribute": (lambda s: s["properties"].pop("actor"), "actor was removed"),
    "another writer": (
        lambda s: s["properties"]["source"].update(const="/services/routing"),
        "source changed: const",
    ),
    "members that are no longer taken": (
        lambda s: data_of(s).update(additionalProperties=False),
        "data was narrowed: additionalProperties",
    ),
}

HARMLESS: dict[str, Change] = {
    "a new optional field": lambda s: data_of(s)["properties"].update(lane={"type": "string"}),
    "a new optional attribute": lambda s: s["properties"].update(traceparent={"type": "string"}),
    "another description": lambda s: data_of(s).update(description="Said better."),
    "a renamed definition": lambda s: (
        s["$defs"].update(Received=s["$defs"].pop("InquiryReceived")),
        s["properties"].update(data={"$ref": "#/$defs/Received"}),
    ),
    "another order of fields": lambda s: data_of(s)["required"].reverse(),
}


@pytest.mark.parametrize(("change", "sentence"), BREAKING.values(), ids=BREAKING.keys())
def test_a_breaking_change_is_found_and_named(change: Change, sentence: str) -> None:
    old, new = schemas(), schemas()
    change(new[TYPE])
    problems = incompatible_changes(old, new)
    assert [problem for problem in problems if sentence in problem], problems
    assert all(problem.startswith(f"{TYPE}: ") for problem in problems)


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS.keys())
def test_a_change_that_breaks_nobody_passes(change: Change) -> None:
    old, new = schemas(), schemas()
    change(new[TYPE])
    assert old != new
    assert incompatible_changes(old, new) == []


def test_a_removed_type_is_found_and_a_new_one_passes() -> None:
    old, new = schemas(), schemas()
    del new[TYPE]
    assert incompatible_changes(old, new) == [f"{TYPE}: was removed; readers of the log still need it"]
    assert incompatible_changes(new, old) == []


def test_a_change_of_the_words_is_found() -> None:
    old, new = schemas(), schemas()
    new[f"{TYPE}.words"]["properties"]["text"]["maxLength"] = 100
    assert incompatible_changes(old, new) == [
        f"{TYPE}.words: text changed: maxLength was 20000 and is 100",
    ]


# The same by the command, as `make contracts-check` runs it.


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published folder: what the models say now. No test changes it."""
    made = tmp_path_factory.mktemp("published")
    (made / "published.json").write_text('{"release": null, "files": {}}')
    assert cli.main(["contracts", "write", "--folder", str(made)]) == 0
    assert cli.main(["contracts", "publish", "1", "--folder", str(made)]) == 0
    return made


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A published folder of the test's own."""
    return shutil.copytree(published, tmp_path / "contracts")


def check(folder: Path) -> int:
    return cli.main(["contracts", "check", "--folder", str(folder)])


def test_the_committed_folder_is_what_the_models_say() -> None:
    assert check(REPO / "contracts") == 0


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (f"schemas/{TYPE}.json", "is not what the models say"),
        ("asyncapi.yaml", "is not what the models say"),
        (f"golden/{TYPE}.json", "was published and must not change"),
        (f"golden/{TYPE}.words.json", "was published and must not change"),
        ("schemas/civic.inquiry.forgotten.v1.json", "belongs to no type"),
    ],
)
def test_a_file_changed_by_hand_fails_the_check(
    folder: Path, path: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / path).write_text("{}\n")
    assert check(folder) == 1
    assert f"{path}: {fault}" in capsys.readouterr().out


def test_a_missing_file_fails_the_check_until_it_is_written_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "golden" / f"{TYPE}.json").unlink()
    assert check(folder) == 1
    assert f"golden/{TYPE}.json: is missing" in capsys.readouterr().out
    assert cli.main(["contracts", "write", "--folder", str(folder)]) == 0
    assert check(folder) == 0


def test_a_published_example_is_never_generated_again() -> None:
    published = {f"{GOLDEN}{TYPE}.json": b"as it was"}
    assert generated(published)[f"{GOLDEN}{TYPE}.json"] == b"as it was"
