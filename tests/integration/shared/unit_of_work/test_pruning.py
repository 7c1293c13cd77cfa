"""What has expired is deleted in steps, all of it, and nothing else."""

import datetime as dt

import pytest

from shared.unit_of_work import pruning
from shared.unit_of_work.database import Database
from shared.unit_of_work.idempotency import prune_keys
from shared.unit_of_work.transaction import prune_processed_actions
from tests.integration.shared.conftest import NOW


@pytest.mark.parametrize("old", [0, 9, 10, 35])
async def test_steps_delete_all_that_is_old(
    routing: Database, old: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_STEP_ROWS", 10)
    moments = [NOW - dt.timedelta(seconds=number + 1) for number in range(old)] + [NOW] * 3
    names = [str(number) for number in range(len(moments))]
    await routing.pool.execute(
        "INSERT INTO seen_event SELECT 's', * FROM unnest($1::text[], $2::timestamptz[])", names, moments
    )
    await routing.pool.execute(
        "INSERT INTO idempotency_key (scope, key, body_hash, expires_at)"
        " SELECT 's', k, '', m FROM unnest($1::text[], $2::timestamptz[]) AS o (k, m)",
        names,
        moments,
    )
    await prune_processed_actions(routing.pool, NOW)
    await prune_keys(routing.pool, NOW)
    for table in ("seen_event", "idempotency_key"):
        assert await routing.pool.fetchval(f"SELECT count(*) FROM {table}") == 3
