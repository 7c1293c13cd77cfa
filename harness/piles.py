"""Large tables of the core, a call of each of its named statements on them, and what a plan has read.

For tests and the bench. The piles are what a statement must not read: rows of other shards, topics, consumers
and partitions, deadline checks that may not fire, what is not old yet. A call's own rows are few or limited.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import asyncpg

from shared import sql
from shared.outbox.relay import PLAN_SETTINGS
from shared.unit_of_work.expectations import KINDS

OWN = 100
"""Rows that belong to the calls, in each table whose other rows belong to somebody else."""


async def fill(connection: asyncpg.Connection, rows: int) -> None:
    """Puts about `rows` rows into each table of the core, which must be empty, and gathers statistics."""
    await _fill(connection, "piles.sql", rows)


async def fill_service(connection: asyncpg.Connection, service: str, rows: int) -> None:
    """The same for a service's own tables."""
    await _fill(connection, f"piles_{service}.sql", rows)


async def _fill(connection: asyncpg.Connection, file: str, rows: int) -> None:
    script = files("harness").joinpath(file).read_text(encoding="utf-8")
    await connection.execute(script.replace("$n", str(rows)).replace("$own", str(OWN)))


@dataclass(frozen=True, slots=True)
class Call:
    """A named statement with its arguments as SQL expressions.

    `package` is where its `queries.sql` is; `settings` are those of the session in which it runs.
    """

    package: str
    name: str
    arguments: tuple[str, ...] = ()
    file: str = "queries.sql"
    settings: str = ""

    @property
    def statement(self) -> str:
        return sql.load(self.package, self.file)[self.name]


_ALL = "'{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}'::smallint[]"
_OWN = "'{0}'::smallint[]"
_BYTES = "8388608"


def case_id(number: str) -> str:
    return f"'case-' || lpad(({number})::text, 7, '0')"


def listed(what: str, source: str, limit: int = OWN, order: str = "id") -> str:
    return f"(SELECT array_agg(v) FROM (SELECT {what} AS v FROM {source} ORDER BY {order} LIMIT {limit}) s)"


CASES = f"(SELECT array_agg({case_id('i')}) FROM generate_series(1, {OWN}) i)"
_ONE_CASE = f"ARRAY[{case_id('3')}]"
NOW = "'2026-12-24Z'::timestamptz"
_TIMERS = "'{mark,breach}'::text[]"


def many(expression: str) -> str:
    return f"(SELECT array_agg({expression}) FROM generate_series(1, {OWN}) i)"


def _outbox() -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.outbox", name, arguments, settings=PLAN_SETTINGS)

    yield call("announce_relay", "1", "16")
    yield call("claim_shard", "1", "3")
    yield call("release_shard", "1", "3")
    yield call("live_relays", "1", "16")
    for shards in (_OWN, _ALL):
        yield call("take_batch", shards, "3000", _BYTES)
        yield call("take_paused_batch", shards, "'t.paused'", "3000", _BYTES)
    for table, name in (("outbox", "delete_sent"), ("outbox", "pause_rows"), ("outbox_aside", "")):
        places = listed("shard", table, 3000), listed("id", table, 3000)
        yield (
            call(name, *places) if name else call("delete_sent_paused", *places, listed("topic", table, 3000))
        )
    yield call("count_paused_rows", _ALL)
    yield Call("shared.outbox", "oldest_written")
    yield Call("shared.outbox", "read_epoch_state")
    yield call("read_marks", "'t.7'")
    yield call("set_marks", many("'t.' || i"), many("0"), many("7"))
    yield call("unsent_of", "'t.main'", CASES)
    yield Call("shared.outbox", "count_outbox")
    yield from _widths()


def _widths() -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.outbox", name, arguments, settings=PLAN_SETTINGS)

    for known in ("0", "7"):
        yield call("changed_widths", known)
    yield call("keep_widths", many("'new-' || i"), many("3"))
    yield call("read_widths", many("'t.' || i"))
    yield call("know_widths", "2", "7")
    yield call("relays_to_wait_for", "1", "16", "2")
    yield call("forget_widths", "2", "7")
    yield call("hold_topic", "'t.9'", "3", "6")
    yield call("release_topic", "'t.1'")
    yield call("mark_drained", "'t.1'", "6")
    yield call("widen_topic", "'t.2'")


def _unit_of_work() -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.unit_of_work", name, arguments)

    new = many("'new-' || i")
    json, none = many("'{}'::jsonb"), many("NULL::bytea")
    yield call("lock_aggregates", CASES)
    yield call("read_sequences", CASES)
    yield call("insert_aggregates", new, json)
    yield call("update_sequences", CASES, json)
    topics, values = many("'t.main'::text"), many("'\\x00'::bytea")
    yield call("insert_outbox", topics, CASES, values, none, many("NULL::jsonb"), NOW)
    kinds, moments = many("'mark'::text"), many(NOW)
    yield call("schedule_timers", CASES, kinds, moments, moments, many("false"), json)
    yield call("cancel_timers", CASES, kinds)
    yield call("count_waiting")
    for source in ("inquiry", "routing"):
        yield call("emitted_ordinals", f"'/services/{source}'", "''", "5000")
    yield call("waiting_values", "'t.few'")
    yield call("probe_disk")
    yield call("probe_journal")
    yield call("lock_due", NOW, _TIMERS, "250")
    yield call("lock_due_checks", NOW, _TIMERS, "250")
    yield call("claim_timers", CASES, _TIMERS, NOW, "true")
    yield call("postpone_timer", case_id("2"), "'mark'", "'2026-11-24Z'::timestamptz", NOW)
    yield call("insert_seen_events", topics, new, NOW)
    for query in ("prune_seen_events", "prune_idempotency_keys"):
        yield call(query, "'2026-11-24Z'::timestamptz + interval '5 s'", "1000")
        yield call(query, "'infinity'::timestamptz", "1000")
    yield call("read_epoch")
    yield call("make_aggregates", CASES)
    yield call("make_aggregates", new)
    yield call("make_aggregates_of_timers")
    yield call("claim_idempotency_key", "'scope'", "'new'", "'\\x00'::bytea", NOW)
    yield call("read_idempotency_key", "'scope'", "'k-7'")
    yield call("answer_idempotency_key", "'scope'", "'k-7'", "200", "'{}'::jsonb")
    scopes, keys = many("'scope'::text"), many("'k-' || i")
    yield call("claim_idempotency_keys", scopes, new, values, NOW)
    yield call("answer_idempotency_keys", scopes, keys, many("200"), json)
    yield call("mark_erased", _ONE_CASE)
    for noun, table in (("outbox", "outbox"), ("paused", "outbox_aside"), ("parked", "parked_event")):
        yield call(f"lock_{noun}_of", _ONE_CASE)
        yield call(f"erase_{noun}", listed("ctid::text", table, order="ctid"), values)
    for number in ("3", "4"):  # without and with a readable key
        case = case_id(number)
        yield call("lock_dead_letters_of", f"ARRAY[{case}]", f"ARRAY[convert_to({case}, 'UTF8')]")
    yield call("erase_dead_letters", listed("ctid::text", "dead_letter"), values)
    yield Call("shared", "keep_policy_version", ("'new'", "'{}'::jsonb"), "packs.sql")
    yield Call("shared", "read_policy_versions", (many("'v-' || i"),), "packs.sql")


def _expectations() -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.unit_of_work", name, arguments)

    every = f"'{{{','.join(KINDS)}}}'::text[]"
    dispatch, nobody = many("'dispatch'::text"), many("''::text")
    yield call("insert_expectations", many("'new-' || i"), dispatch, nobody, NOW)
    yield call("delete_expectations", CASES, dispatch, nobody)
    yield call("forget_expectations", CASES)
    for before in ("'2026-11-24T00:00:01Z'::timestamptz", NOW):
        yield call("list_unanswered", before, "100", every)
        yield call("count_unanswered", before, every)
    for ended in ("false", "true"):
        yield call("list_waits", "''", NOW, ended, "100")
    yield call("waiting_between", "'case-0000100'", "'case-0000102'")
    yield call("mark_ended", case_id("7"), "'intake'", "''", NOW)
    yield call("end_wait", case_id("9"), "'answer'", "''")


def _inbox(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.inbox", name, arguments)

    place = "'mine'", f"'t.{rows}'", "0"
    key = "'mine'", "'t.main'", case_id(str(rows))
    mine = many(case_id(f"{rows - OWN} + i"))
    topics = many("'t.main'::text")
    zeros, none = many("0"), many("NULL::bytea")
    yield call("start_cursor", "'mine'", "'t.new'", "0", "0")
    yield call("lock_cursor", *place)
    yield call("advance_cursor", *place, "7", "6", "0", "'\\x00'::bytea")
    yield call("pass_offsets", *place, "7")
    yield call("read_cursors", "'mine'")
    yield call("read_cursor", *place)
    yield call("has_cursors", "'mine'")
    yield call("start_cursors", "'mine'", topics, many("i"), many("0"))
    yield call("waiting_subjects", CASES, "'intake'")
    yield call("seen_events", many("'t.actions'::text"), many("'a-' || i"))
    yield call("lock_parked_keys", "'mine'", "'t.main'", mine)
    new, bad = many("'new-' || i"), many("'bad'::text")
    yield call("park_keys", "'mine'", NOW, topics, new, bad, many("false"))
    record = zeros, many("i"), zeros
    yield call("park_events", "'mine'", topics, new, *record, *(none,) * 3)
    empty = many("NULL::bigint"), many("1"), zeros, new, many("'t'::text"), *(none,) * 3
    yield call("insert_dead_letters", "'mine'", NOW, topics, zeros, many("i"), *empty, bad, bad, many("8"))
    yield call("due_parked_keys", "'mine'", NOW)
    early = f"'2026-11-24Z'::timestamptz + {rows // 2 + OWN} * interval '1 ms'"
    yield call("due_parked_keys", "'other'", early)
    yield call("claim_parked_key", *key[:2], case_id(str(rows - 1)), NOW)
    yield call("parked_events", *key, "100")
    yield call("delete_parked_events", *key, "1000000000")
    yield call("free_key_if_empty", *key)
    yield call("continue_key", *key)
    yield call("postpone_key", *key, NOW)
    yield call("try_key_again_at", *key, "2", NOW, "'bad'", "false")
    for consumer in ("'mine'", "'other'"):
        yield call("count_parked", consumer)
    yield from _floods(rows)
    yield from _losses(rows)
    yield from _letters(rows)


def _floods(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.inbox", name, arguments)

    place = "'other-7'", f"'t.{rows}'", "7"
    yield call("count_bad_records", *place, NOW, "3", f"{NOW} - interval '1 minute'")
    yield call("start_flood", "'mine'", "'t.new'", "0", NOW)
    yield call("lock_flood", *place)
    yield call("pause_partition", *place, NOW, "2")
    yield call("paused_partitions", NOW)
    yield call("resume_partitions", f"'t.{rows}'", NOW, NOW, "0")


def _losses(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.inbox", name, arguments)

    yield call("record_topic_loss", "'mine'", "'t.new'", "0", "'expired'", "0", "7", NOW)
    yield call("record_topic_loss", "'other'", f"'t.{rows}'", "0", "'expired'", "0", "7", NOW)
    yield call("list_topic_losses", "false", "100")
    yield call("list_topic_losses", "true", "100")
    yield call("see_topic_losses", f"'t.{rows}'", NOW, "'me'")
    yield call("count_topic_losses")


def _letters(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("shared.inbox", name, arguments)

    letter = "(SELECT max(id) FROM dead_letter)"
    letters = listed("id", "dead_letter", order="id DESC")
    keys = "'mine'", "'t.main'", case_id(f"{rows - OWN} + i")
    mine = tuple(many(f"({each})::text") for each in keys)
    every = ("NULL::text", "NULL::text", "NULL::timestamptz")
    for resolved in ("false", "true"):
        for after in ("0", letter):
            yield call("list_dead_letters", resolved, "100", after)
    yield call("read_dead_letter", letter)
    for selection in (every, ("'t.rare'", *every[1:])):
        yield call("count_dead_letters", *selection)
        yield call("matching_dead_letters", *selection, "0")
    for name in ("keys_of_dead_letters", "lock_dead_keys", "lock_dead_letters"):
        yield call(name, letters)
    yield call("delete_parked_heads", *mine, listed("arrival", "parked_event", order="arrival DESC"))
    yield call("delete_empty_keys", *mine)
    yield call("free_dead_keys", *mine, NOW)
    yield call("resolve_dead_letters", letters, many("NULL::bytea"), "'replayed'", "'me'", "NULL", NOW)
    yield call("date_resolved_letters", NOW)
    for before in ("'2026-11-24T00:00:01Z'::timestamptz", NOW):
        yield call("prune_dead_letters", before)


def core_calls(rows: int) -> list[Call]:
    """A call, or several, of each named statement of the core on tables of `rows` rows."""
    return [*_outbox(), *_unit_of_work(), *_expectations(), *_inbox(rows)]


async def first_columns(connection: asyncpg.Connection) -> dict[str, str]:
    """The first column of each index that the connection sees, as plans write it."""
    rows = await connection.fetch(
        "SELECT relname, pg_get_indexdef(oid, 1, true) AS first FROM pg_class"
        " WHERE relkind = 'i' AND pg_table_is_visible(oid)"
    )
    return {row["relname"]: row["first"] for row in rows}


class Caller:
    """Runs calls on one connection as prepared statements, each in a transaction that is rolled back.

    Parameters
    ----------
    connection
        Sees the tables of the service.
    generic
        Plans without looking at the arguments, as the server does once a statement was run often.
    """

    def __init__(self, connection: asyncpg.Connection, *, generic: bool = False) -> None:
        self._connection = connection
        self._mode = "force_generic_plan" if generic else "force_custom_plan"

    async def explain(self, call: Call) -> dict[str, Any]:
        """The plan as it ran, from EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)."""
        (plan,) = await self._run(call, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ")
        found: dict[str, Any] = json.loads(plan[0])[0]["Plan"]
        return found

    async def seconds(self, call: Call, times: int) -> list[float]:
        """How long it took some times, as the client sees it, without the planning of the first time."""
        return (await self._run(call, "", times + 1))[1:]

    async def _run(self, call: Call, prefix: str, times: int = 0) -> list[Any]:
        """The rows of one run; with `times` the seconds of so many instead."""
        connection = self._connection
        await connection.execute(f"PREPARE piled AS {call.statement}")
        transaction = connection.transaction()
        await transaction.start()
        try:
            settings = call.settings.replace("SET ", "SET LOCAL ")
            await connection.execute(f"SET LOCAL plan_cache_mode = {self._mode}; {settings}")
            execute = f"EXECUTE piled{await self._literals(call)}"
            if not times:
                return await connection.fetch(prefix + execute)
            return [await self._timed(execute) for _ in range(times)]
        finally:
            await transaction.rollback()
            await connection.execute("DEALLOCATE piled")

    async def _timed(self, execute: str) -> float:
        transaction = self._connection.transaction()
        await transaction.start()
        begun = time.perf_counter()
        # Not `fetch`: the driver would keep the plan of a name that the next call uses for another statement.
        await self._connection.execute(execute)
        seconds = time.perf_counter() - begun
        await transaction.rollback()
        return seconds

    async def _literals(self, call: Call) -> str:
        """The arguments as literals: EXECUTE takes no subqueries."""
        types = await self._connection.fetchval(
            "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'piled'"
        )
        if len(types) != len(call.arguments):
            raise ValueError(f"{call.name} takes {len(types)} arguments: {types}")
        if not types:
            return ""
        cast = ", ".join(
            f"quote_nullable(({one})::{type_}::text)"
            for one, type_ in zip(call.arguments, types, strict=True)
        )
        return f"({', '.join(await self._connection.fetchrow(f'SELECT {cast}') or ())})"


_SCANS = frozenset(
    {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan"}
)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and all below it."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_read(plan: dict[str, Any]) -> int:
    """Rows that the scans of a plan have taken from tables, those included that a filter dropped."""
    read = 0.0
    for node in nodes(plan):
        if node["Node Type"] in _SCANS:
            dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            read += (node["Actual Rows"] + dropped) * node["Actual Loops"]
    return round(read)


def indexes_read_whole(plan: dict[str, Any], first: dict[str, str]) -> set[str]:
    """Indexes that were searched by later columns than their `first`, so from one end to the other.

    The rows that such a search passes are in no count of the plan.
    """
    return {
        name
        for node in nodes(plan)
        if (name := node.get("Index Name")) is not None
        and "Index Cond" in node
        and not _asks(node["Index Cond"], first[name])
    }


def _asks(condition: str, column: str) -> bool:
    if column.isidentifier():
        return re.search(rf"\b{column}\b", condition) is not None
    # An expression, which a plan and the catalogue lay out in different ways.
    condition, column = (re.sub(r"[\s()]", "", text) for text in (condition, column))
    return column in condition


def rows_answered(plan: dict[str, Any]) -> int:
    """Rows that a statement returned, or wrote if those are more."""
    written: Iterator[float] = (
        child["Actual Rows"] * child["Actual Loops"]
        for node in nodes(plan)
        if node["Node Type"] == "ModifyTable"
        for child in node["Plans"]
        if child.get("Parent Relationship") == "Outer"
    )
    return round(max([float(plan["Actual Rows"]), *written]))
