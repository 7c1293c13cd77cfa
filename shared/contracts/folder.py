"""The folder `contracts/`: schemas generated from the models, and examples that never change."""

import json
from collections.abc import Mapping

from shared.contracts.asyncapi import asyncapi
from shared.contracts.golden import golden
from shared.contracts.registry import REGISTRY
from shared.contracts.schemas import Schema, event_schema, words_schema

SCHEMAS = "schemas/"
GOLDEN = "golden/"

Files = Mapping[str, bytes]
"""Path inside the folder -> contents."""


def generated(published: Files) -> dict[str, bytes]:
    """All files of the folder. A type's example in `published` stays as it is, byte for byte."""
    files = {path: content for path, content in published.items() if path.startswith(GOLDEN)}
    for contract in REGISTRY.values():
        files[f"{SCHEMAS}{contract.type}.json"] = _json(event_schema(contract))
        words = words_schema(contract)
        if words:
            files[f"{SCHEMAS}{contract.type}.words.json"] = _json(words)
        if f"{GOLDEN}{contract.type}.json" not in published:
            example = golden(contract)
            files[f"{GOLDEN}{contract.type}.json"] = example.value
            if example.words:
                files[f"{GOLDEN}{contract.type}.words.json"] = example.words
    files["asyncapi.yaml"] = asyncapi().encode()
    return dict(sorted(files.items()))


def stale(found: Files, wanted: Files) -> list[str]:
    """The differences between a folder and its expected files, one line per file."""
    faults = {path: "is missing" for path in wanted if path not in found}
    for path, content in found.items():
        if path not in wanted:
            faults[path] = "belongs to no type"
        elif content != wanted[path]:
            published = path.startswith(GOLDEN)
            faults[path] = "was published and must not change" if published else "is not what the models say"
    return [f"{path}: {fault}" for path, fault in sorted(faults.items())]


def schemas_in(files: Files) -> dict[str, Schema]:
    """The schemas among the files, by type, as `incompatible_changes` takes them."""
    return {
        path.removeprefix(SCHEMAS).removesuffix(".json"): json.loads(content)
        for path, content in files.items()
        if path.startswith(SCHEMAS)
    }


def _json(schema: Schema) -> bytes:
    return (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()
