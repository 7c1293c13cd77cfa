"""Controls against the real services: with a mechanism of the core broken in all of them, the checks find it.

Each run is short and has only the faults that bring its sabotage to light. That the same checks find nothing
after the same faults on the services as shipped is shown by test_chaos.py, which begins with them.
"""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deploy.local.pair import Pair
from harness.history import Violation
from harness.installation import Command
from tests.chaos.run import chaos_run
from tests.chaos.sabotage import FAULTS, sabotaged

pytestmark = pytest.mark.chaos

QUIET_CASES = 40
"""So many are taken in before anything is broken."""
SUBJECT = re.compile(r"subject='([^']+)'")
FOUND = {"locks-late": "locks", "no-cursor": "I2"}


async def brief(
    pair: Pair, folder: Path, faults: Iterable[tuple[Any, ...]], command: Command, *, rest_seconds: float
) -> list[Violation]:
    async with chaos_run(pair, folder, Random(11), command) as city:
        async with city.at_work(rest_seconds=rest_seconds):
            await city.asked(QUIET_CASES)
            for fault in faults:
                await city.faults.inject(*fault)
                await asyncio.sleep(1)
        _, violations = await city.check()
    return violations


@pytest.mark.parametrize("name", FOUND)
async def test_a_sabotage_is_found(pair: Pair, folder: Path, name: str) -> None:
    """Whether it comes to rest or not: nothing that is still on its way looks like this."""
    violations = await brief(pair, folder, FAULTS[name], sabotaged(name), rest_seconds=10)
    assert FOUND[name] in {violation.invariant for violation in violations}


async def test_offsets_committed_before_the_work_are_found_where_all_has_come_to_rest(
    pair: Pair, folder: Path
) -> None:
    """Else what is only late would pass for what is lost. And what nobody answers is named as well."""
    violations = await brief(
        pair, folder, FAULTS["offsets-first"], sabotaged("offsets-first"), rest_seconds=120
    )
    found = {violation.invariant for violation in violations}
    assert "I1" in found
    assert "I6" not in found
    named = [violation.detail for violation in violations if violation.invariant == "answered"]
    for violation in violations:
        if violation.detail.endswith("has 0 answers"):
            subject = SUBJECT.findall(violation.detail)[0]
            assert any(subject in detail for detail in named)


async def test_what_shows_without_any_fault_is_found_side_by_side(pair: Pair, folder: Path) -> None:
    """Relays that share no lock, letters that are posted twice, events that are swallowed amid a case."""
    violations = await brief(
        pair, folder, [], sabotaged("no-lock", "posts-twice", "swallows"), rest_seconds=120
    )
    found = {violation.invariant for violation in violations}
    assert "I6" not in found
    assert "relay" in found
    assert any("came 2 times" in violation.detail for violation in violations)
    # Positions say nothing of what is swallowed: each service stands at the last event of every case.
    lost = {violation.detail.partition(":")[0] for violation in violations if violation.invariant == "I1"}
    assert lost >= {"inquiry", "routing", "publisher"}
    assert "applied up to" not in str(violations)
