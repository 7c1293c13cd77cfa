"""The pack that a process starts with. A case keeps the version that it was accepted under."""

from functools import cache
from pathlib import Path

from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import CoreSettings


def open_pack(settings: CoreSettings) -> Pack:
    """The pack that the settings name, loaded once. Raises PolicyError with file and line."""
    return _load(settings.policies_dir / settings.pack)


@cache
def _load(folder: Path) -> Pack:
    return load_pack(folder)
