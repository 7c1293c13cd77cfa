"""What we change of asyncpg: it is still there, and without it we would notice."""

import pytest
from asyncpg.protocol import protocol

from shared.unit_of_work import asyncpg_internals
from shared.unit_of_work.asyncpg_internals import SEQUENCES, look_at_arrays_quickly


def test_an_array_is_a_list_or_a_tuple() -> None:
    look_at_arrays_quickly()
    found = vars(protocol)
    assert found["IterableABC"] is found["SizedABC"] is SEQUENCES


def test_another_asyncpg_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Another:
        """A module without the names."""

    monkeypatch.setattr(asyncpg_internals, "protocol", Another)
    with pytest.raises(RuntimeError, match="IterableABC"):
        look_at_arrays_quickly()
