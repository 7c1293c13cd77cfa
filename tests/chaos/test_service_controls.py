"""Controls against the real services: with a mechanism of the core broken in all of them, the checks find it.

Each run is short and has only the faults that bring its sabotage to light; the same checks then find nothing
after the same faults on the services as shipped.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deploy.local.pair import Pair
from harness.history import Violation
from harness.installation import Command, as_shipped
from tests.chaos.run import chaos_run
from tests.chaos.sabotage import SABOTAGES, sabotaged

pytestmark = pytest.mark.chaos

QUIET_CASES = 60
"""So many are taken in before anything is broken."""
FAULTS: Mapping[str, Sequence[tuple[Any, ...]]] = {
    "no-lock": [],
    "locks-late": [("pile_up", "routing"), ("pile_up", "routing"), ("pile_up", "routing")],
    "no-cursor": [("own_twice", "routing"), ("send_again",)],
    "offsets-first": [("kill_amid_work", "routing")],
    "swallows": [],
    "posts-twice": [],
    "no-fence": [],  # tests/scenarios/test_restore.py has its fault
}
FOUND = {"no-lock": "relay", "locks-late": "locks", "no-cursor": "I2", "offsets-first": "I1"}


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


async def test_the_services_as_shipped_pass_through_all_of_it(pair: Pair, folder: Path) -> None:
    faults = [fault for name in SABOTAGES for fault in FAULTS[name]]
    violations = await brief(pair, folder, faults, as_shipped, rest_seconds=120)
    assert not violations, "\n".join(str(violation) for violation in violations[:20])


@pytest.mark.parametrize("name", ["no-lock", "locks-late", "no-cursor"])
async def test_a_sabotage_is_found(pair: Pair, folder: Path, name: str) -> None:
    """Whether it comes to rest or not: nothing that is still on its way looks like this."""
    violations = await brief(pair, folder, FAULTS[name], sabotaged(name), rest_seconds=15)
    assert FOUND[name] in {violation.invariant for violation in violations}


async def test_offsets_committed_before_the_work_are_found_where_all_has_come_to_rest(
    pair: Pair, folder: Path
) -> None:
    """Else what is only late would pass for what is lost."""
    violations = await brief(
        pair, folder, FAULTS["offsets-first"], sabotaged("offsets-first"), rest_seconds=120
    )
    found = {violation.invariant for violation in violations}
    assert "I1" in found
    assert "I6" not in found


async def test_a_letter_that_is_posted_twice_is_found(pair: Pair, folder: Path) -> None:
    violations = await brief(pair, folder, FAULTS["posts-twice"], sabotaged("posts-twice"), rest_seconds=60)
    assert {violation.invariant for violation in violations} == {"I2"}
    assert all("came 2 times" in violation.detail for violation in violations)


async def test_an_event_that_is_swallowed_in_the_middle_of_a_case_is_found_in_each_service(
    pair: Pair, folder: Path
) -> None:
    """Positions tell nothing of it: each service stands at the last event of every case."""
    violations = await brief(pair, folder, FAULTS["swallows"], sabotaged("swallows"), rest_seconds=120)
    lost = {violation.detail.partition(":")[0] for violation in violations if violation.invariant == "I1"}
    assert lost >= {"inquiry", "routing", "publisher"}
    assert "applied up to" not in str(violations)
