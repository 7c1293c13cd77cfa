"""Sessions of the pool are not reset after use, so no statement may leave anything behind in one."""

import re
from pathlib import Path

from shared import sql
from shared.settings import REPOSITORY

_LEAVES_STATE = re.compile(
    r"^SET (?!LOCAL\b)|pg_(try_)?advisory_lock(_shared)?\b|\b(LISTEN|PREPARE|DECLARE)\b|\bCREATE TEMP",
    re.MULTILINE,
)
# Each runs on a session of its own, from `Database.connect`, which ends with its owner.
_ON_OWN_SESSIONS = {
    "announce_relay",
    "avoid_scans",
    "claim_shard",
    "know_widths",
    "try_lock",
    "take_alive_lock",
    "try_lock_source",
}


def leaving(statements: dict[str, str]) -> set[str]:
    return {name for name, text in statements.items() if _LEAVES_STATE.search(_without_clauses(text))}


def _without_clauses(text: str) -> str:
    """The statement without the SET of an UPDATE, which may begin a line too."""
    return re.sub(r"(UPDATE\b[^;]*?\n)SET ", r"\1", text, flags=re.IGNORECASE)


def packages() -> list[str]:
    files: list[Path] = [
        *REPOSITORY.glob("shared/**/queries.sql"),
        *REPOSITORY.glob("services/**/queries.sql"),
    ]
    return [".".join(file.parent.relative_to(REPOSITORY).parts) for file in files]


def test_no_statement_of_the_pool_leaves_state_in_its_session() -> None:
    found = {name for package in packages() for name in leaving(sql.load(package))}
    assert found == _ON_OWN_SESSIONS


def test_a_setting_and_a_lock_are_noticed_and_an_update_is_not() -> None:
    assert leaving(
        {
            "setting": "SET enable_seqscan = off;",
            "lock": "SELECT pg_advisory_lock($1, $2);",
            "local": "SET LOCAL work_mem = '64kB';",
            "until_commit": "SELECT pg_advisory_xact_lock($1);",
            "update": "INSERT INTO a (b) VALUES ($1) ON CONFLICT (b) DO UPDATE\nSET b = excluded.b;",
        }
    ) == {"setting", "lock"}
