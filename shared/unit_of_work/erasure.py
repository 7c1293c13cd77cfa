"""What the core itself keeps of an erased subject: bytes that wait to be sent or applied lose their words.

An event whose contract `is_erasure` does it, in the service that emits it and in each that reads it, with the
transaction that has it, even if the event only joins its parked key. What comes later of such a subject is
erased as it comes. Nothing is taken out of a sequence: an offer still goes to its unit, without words.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import asyncpg
import orjson

from shared import sql
from shared.contracts.addresses import ADDRESSES, code_of
from shared.contracts.base import Event
from shared.errors import Permanent
from shared.events.decoding import contract_of

QUERIES = sql.load("shared.unit_of_work")

GONE = "—"
"""Stands where an event must have a text: an action of a unit, which is refused with it as without."""

_CONTACT = ADDRESSES["contact"].removeprefix("{namespace}")


async def erase(connection: Any, subjects: Collection[str]) -> None:
    """Takes the words of the subjects, which are locked, out of every table of the core."""
    ids = sorted(subjects)
    await connection.execute(QUERIES["mark_erased"], ids)
    # The outbox first: rows that the relay pauses meanwhile are then found in the second table.
    await _erase(connection, "lock_outbox_of", [ids], "erase_outbox", _sayable)
    await _erase(connection, "lock_paused_of", [ids], "erase_paused", _sayable)
    await _erase(connection, "lock_parked_of", [ids], "erase_parked", _sayable)
    keys = [id_.encode() for id_ in ids]
    await _erase(connection, "lock_dead_letters_of", [ids, keys], "erase_dead_letters", _resolvable)


def without_words(topic: str, value: bytes | None) -> bytes | None:
    """The value of a record on `topic` without the words inside it; None if nobody can tell where they are.

    On a service's own topic the words stand beside the value, which is kept.
    """
    if value is None or not (topic.endswith(_CONTACT) or code_of(topic) is not None):
        return value
    try:
        contract = contract_of(value)
    except Permanent:
        return None
    if contract is None:
        return None
    # A unit may write more than we read, so that only what the contract knows stays.
    found = {name: told for name, told in orjson.loads(value).items() if name in Event.model_fields}
    data = found.get("data")
    if not isinstance(data, dict):
        return None
    fields = contract.data_type.model_fields
    kept = {
        name: told for name, told in data.items() if name in fields and name not in contract.redacted_fields
    }
    kept |= {name: GONE for name in contract.redacted_fields if fields[name].is_required()}
    return orjson.dumps(found | {"data": kept})


def bytes_to_keep(topic: str, value: bytes | None, key: str | None) -> bytes | None:
    """What may stay of a dead letter: nothing of bytes that did not even tell whose they are."""
    return None if key is None else without_words(topic, value)


def _sayable(row: asyncpg.Record) -> bytes | None:
    return without_words(row["topic"], row["value"])


def _resolvable(row: asyncpg.Record) -> bytes | None:
    return bytes_to_keep(row["topic"], row["value"], row["key"])


async def _erase(
    connection: Any,
    lock: str,
    whose: Sequence[Any],
    empty: str,
    keep: Callable[[asyncpg.Record], bytes | None],
) -> None:
    rows = await connection.fetch(QUERIES[lock], *whose)
    if rows:
        await connection.execute(QUERIES[empty], [row["tid"] for row in rows], [keep(row) for row in rows])
