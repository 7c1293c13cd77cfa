"""The release before and today's at once on one database and one broker, as an upgrade in place has them.

Each reads packs that only the other has in its folder, and each carries on cases of the other.
"""

import asyncio
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.local.pair import Pair
from harness.city import Case, Departments
from harness.history import History
from harness.installation import Copy, Installation
from harness.observation import Observation
from shared.policy.loader import load_pack
from shared.settings import SERVICES
from tests.old_release import COMMIT, NoHistory, check_out
from tests.paths import REPO

TODAY, BEFORE = 0, 1
"""The numbers of the copies of each service."""
CASES = 6


class TwoReleases(Installation):
    """Each service in two copies, one of each release; each has a pack in its folder that the other lacks."""

    def __init__(self, pair: Pair, folder: Path, before: Path) -> None:
        super().__init__(pair.database_url, pair.access, folder, copies=2)
        self._roots = {TODAY: REPO, BEFORE: before}
        self.packs = {
            number: _renamed(root / "policies" / self.pack, folder / f"policies-{number}", f"{number}区")
            for number, root in self._roots.items()
        }

    def environment(self, copy: Copy) -> dict[str, str]:
        return super().environment(copy) | {
            "PYTHONPATH": str(self._roots[copy.number]),
            "PYTHONSAFEPATH": "1",  # else the working directory, which is today's, has priority
            "POLICIES_DIR": str(self.packs[copy.number].parent),
        }

    def check_code(self) -> None:
        """Fails unless each copy imports the code of its own release."""
        for copy in self.copies:
            script = (
                f"import shared, services.{copy.service} as service; print(shared.__file__, service.__file__)"
            )
            done = subprocess.run(
                [sys.executable, "-c", script],
                env=self.environment(copy),
                cwd=REPO,
                capture_output=True,
                check=True,
                text=True,
            )
            root = self._roots[copy.number]
            assert all(Path(path).is_relative_to(root) for path in done.stdout.split()), done.stdout

    async def only(self, number: int) -> None:
        """Stops the copies of the other release, and starts those of this one.

        The log's writer of today stops in order, as docs/howto/upgrade.md asks of an operator who goes back.
        """
        for copy in self.copies:
            if copy.number == number:
                self.start(copy.service, number)
            elif (copy.service, copy.number) == ("audit", TODAY):
                await self.end(copy.service, copy.number)
            else:
                self.kill(copy.service, copy.number)
        await self.ready([copy for copy in self.copies if copy.number == number])

    async def both(self) -> None:
        for copy in self.copies:
            self.start(copy.service, copy.number)
        await self.ready()


def _renamed(source: Path, target: Path, area: str) -> Path:
    """A copy of a pack's folder in which an area has another name."""
    folder = Path(shutil.copytree(source, target / source.name))
    areas = folder / "areas.csv"
    areas.write_text(areas.read_text().replace("云溪区", area, 1))
    return folder


async def ask(city: Installation, client: httpx.AsyncClient, number: int) -> list[Case]:
    """Takes cases in by the copy of one release."""
    concern = {"title": "井盖松动", "text": "很响。", "service_code": "municipal-manhole", "area": "yunxi"}
    cases = []
    for _ in range(CASES):
        answer = await client.post(
            f"{city.url('inquiry', number)}/api/inquiry/v1/inquiries",
            json=concern,
            headers={"Idempotency-Key": secrets.token_hex(16)},
        )
        assert answer.status_code == 201, answer.text
        taken = answer.json()
        cases.append(Case(taken["id"], taken["number"], taken["secret"], taken["sequence"]))
    return cases


async def carry_on(city: Installation, observation: Observation) -> None:
    """The departments answer all that they are offered, and the city comes to rest."""
    departments = asyncio.create_task(Departments(city, city.units).run())
    try:
        await observation.settle(120)
    finally:
        departments.cancel()
        await asyncio.wait([departments])


@pytest.mark.timeout(600)
async def test_two_releases_carry_on_each_others_cases(pair: Pair, open_tmp_path: Path) -> None:
    before = _history_or_failure(open_tmp_path / "before")
    async with (
        TwoReleases(pair, open_tmp_path / "city", before) as city,
        Observation(city) as observation,
        httpx.AsyncClient(timeout=20) as client,
    ):
        await asyncio.to_thread(city.check_code)
        cases = [*await ask(city, client, TODAY), *await ask(city, client, BEFORE)]
        await carry_on(city, observation)
        # What one release has taken in lies there, and the other alone carries it on.
        for number, other in ((TODAY, BEFORE), (BEFORE, TODAY)):
            await city.only(number)
            cases += await ask(city, client, number)
            await city.only(other)
            await carry_on(city, observation)
        await city.both()
        await observation.settle(120)
        await _check(city, observation, cases)


async def _check(city: TwoReleases, observation: Observation, cases: list[Case]) -> None:
    history = await observation.history()
    assert history.violations() == []
    assert city.ended_by_themselves() == []
    for service in SERVICES:
        state = await observation.core_state(service)
        assert (service, state.outbox, state.parked, state.dead) == (service, 0, frozenset(), 0)
    failures = [
        line
        for copy in city.copies
        for line in copy.log.read_text().splitlines()
        if "event failed" in line or "PackNotHere" in line or "PolicyError" in line
    ]
    assert failures == []
    types = types_by_subject(history)
    assert [case.id for case in cases if "civic.inquiry.replied.v1" not in types[case.id]] == []
    async with observation.tables("audit") as tables:
        logged = await tables.fetchval("SELECT count(*) FROM log_entry WHERE kind = 'event'")
    assert logged == len([key for key in history.events if "/departments/" not in key.source])
    async with observation.tables("routing") as tables:
        used = await tables.fetch("SELECT DISTINCT policy_version FROM case_file")
    assert {row["policy_version"] for row in used} == {
        load_pack(city.packs[number]).version for number in (TODAY, BEFORE)
    }


def types_by_subject(history: History) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key, seen in history.events.items():
        found.setdefault(key.subject, set()).add(seen.type)
    return found


def _history_or_failure(folder: Path) -> Path:
    try:
        return check_out(folder)
    except NoHistory as error:
        pytest.fail(str(error))


def test_without_the_history_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoHistory, match=f"commit {COMMIT}.* is not in the history of .*: fetch the whole"):
        check_out(tmp_path / "before", repository=tmp_path)
