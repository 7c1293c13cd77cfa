"""Deletes the words of erased subjects from the core's own tables: outbox, parked events, dead letters.

An event whose contract `is_erasure` triggers it, in the service that emits it and in each that reads it, in
the same transaction, even if the event only joins its parked key. Bytes of the subject that are stored later
are redacted at once. No event is removed: an offer still goes to its unit, without words.
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
"""Replaces a required text. Only actions of units have one, and they are refused with it or without."""

_CONTACT = ADDRESSES["contact"].removeprefix("{namespace}")


async def erase(connection: Any, subjects: Collection[str]) -> None:
    """Deletes the words of the subjects, which must be locked, from every table of the core."""
    ids = sorted(subjects)
    await connection.execute(QUERIES["mark_erased"], ids)
    # An erased case waits for no answer.
    await connection.execute(QUERIES["forget_expectations"], ids)
    # The outbox first: rows that the relay pauses meanwhile are then found in the second table.
    await _erase(connection, "lock_outbox_of", [ids], "erase_outbox", _redacted_event)
    await _erase(connection, "lock_paused_of", [ids], "erase_paused", _redacted_event)
    await _erase(connection, "lock_parked_of", [ids], "erase_parked", _redacted_event)
    keys = [id_.encode() for id_ in ids]
    await _erase(connection, "lock_dead_letters_of", [ids, keys], "erase_dead_letters", _redacted_dead_letter)


def without_words(topic: str, value: bytes | None) -> bytes | None:
    """The value of a record on `topic` without the words inside it; None if they cannot be located.

    On a service's own topic the words travel beside the value, which is returned as it is.
    """
    if value is None or not (topic.endswith(_CONTACT) or code_of(topic) is not None):
        return value
    try:
        contract = contract_of(value)
    except Permanent:
        return None
    if contract is None:
        return None
    # A unit may write fields that we do not read: only those of the contract are kept.
    found = {name: content for name, content in orjson.loads(value).items() if name in Event.model_fields}
    data = found.get("data")
    if not isinstance(data, dict):
        return None
    fields = contract.data_type.model_fields
    kept_names = fields.keys() - set(contract.redacted_fields)
    kept = {name: content for name, content in data.items() if name in kept_names}
    kept |= {name: GONE for name in contract.redacted_fields if fields[name].is_required()}
    return orjson.dumps(found | {"data": kept})


def bytes_to_keep(topic: str, value: bytes | None, key: str | None) -> bytes | None:
    """The part of a dead letter's value that may be kept: nothing if its key is not known."""
    return None if key is None else without_words(topic, value)


def _redacted_event(row: asyncpg.Record) -> bytes | None:
    return without_words(row["topic"], row["value"])


def _redacted_dead_letter(row: asyncpg.Record) -> bytes | None:
    return bytes_to_keep(row["topic"], row["value"], row["key"])


async def _erase(
    connection: Any,
    lock: str,
    subjects: Sequence[Any],
    update: str,
    redact: Callable[[asyncpg.Record], bytes | None],
) -> None:
    rows = await connection.fetch(QUERIES[lock], *subjects)
    if rows:
        await connection.execute(QUERIES[update], [row["tid"] for row in rows], [redact(row) for row in rows])
