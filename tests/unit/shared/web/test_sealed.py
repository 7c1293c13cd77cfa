"""Sealed values expire and open for one purpose alone."""

import pytest

from shared.web.sealed import Sealer


def test_what_is_sealed_ends_and_serves_one_purpose() -> None:
    sealer = Sealer(b"k" * 32, "session")
    assert sealer.open(sealer.seal({"a": 1}, 60)) == {"a": 1}
    assert sealer.open(sealer.seal({"a": 1}, 0)) is None
    assert Sealer(b"k" * 32, "sign-in").open(sealer.seal({"a": 1}, 60)) is None
    for nonsense in ("", "x", "é", "A" * 5000, "=" * 40):
        assert sealer.open(nonsense) is None
    with pytest.raises(ValueError, match="cookie"):
        sealer.seal({"a": "x" * 4000}, 60)
