"""Calls of each named statement of the four services on large tables of their own; as in harness/piles.py."""

from collections.abc import Iterator

from harness.piles import CASES, NOW, OWN, Call, case_id, many
from services.inquiry.domain.states import Holding, Stage
from shared import sql

_CASE_FILE = (
    "id, phase, number, kind, service_code, area, visibility, urgent, hint, notify, received_at, reply_due,"
    " reply_day_count, cycle, policy_version, jurisdiction, placement, attempt, lead, rule, triage_reason,"
    " triaged_at, sign_due, proposal, proposal_unit, proposal_action, proposal_by_topic, reply_refused, words"
)
_ASSIGNMENT = (
    "inquiry, unit, role, state, attempt, offered_at, signed_at, ended_at, reason, note,"
    " refused_on, refusals, reply_due"
)


def _columns(columns: str, table: str, key: str) -> Iterator[str]:
    for column in columns.split(", "):
        yield f"(SELECT array_agg({column} ORDER BY {key}) FROM {table} WHERE {key} <= {case_id(str(OWN))})"


def routing_calls() -> Iterator[Call]:
    """A call of each named statement of routing."""

    def call(name: str, *arguments: str) -> Call:
        return Call("services.routing", name, arguments)

    for name in ("case_files", "assignments", "words"):
        yield call(name, CASES)
    yield call("save_case_files", *_columns(_CASE_FILE, "case_file", "id"))
    yield call("save_assignments", *_columns(_ASSIGNMENT, "assignment", "inquiry"))
    texts = many("'water'::text"), many("'a'::text"), many("'r'::text"), many("NULL::text")
    yield call("add_orphan_actions", *texts, many(NOW))
    yield call("take_orphan_actions", "ARRAY['water']")
    page = "'water'", "'-infinity'::timestamptz", "''", "NULL", "NULL", "50"
    yield call("desk_open", *page, "NULL")
    yield call("desk_open", *page, "'dispatched'")
    yield call("desk_closed", *page)
    yield call("has_cases", "'water'")
    yield call("has_cases", "'nobody'")
    yield call("triage_queue", "'-infinity'::timestamptz", "''", "50")
    yield call("count_triage")
    yield call("reply_is_pending", case_id("3"))


_STATES = {*Stage, *Holding} - {Stage.ACCEPTED}
"""The values of the statement `list_cases_in`."""


def inquiry_calls(rows: int) -> Iterator[Call]:
    """A call, or several, of each named statement of inquiry and of its import."""

    def call(name: str, *arguments: str) -> Call:
        return Call("services.inquiry", name, arguments)

    new, none = many("'new-' || i"), many("NULL::text")
    yield call("load_cases", CASES)
    texts, moments = many("'x'::text"), many(NOW)
    days = many("'2026-11-24'::date"), many("7"), many("'working'::text")
    flags = many("false")
    yield call(
        "insert_cases",
        new,
        new,
        *(texts,) * 6,
        flags,
        texts,
        new,
        moments,
        texts,
        texts,
        *(moments,) * 2,
        *days,
        NOW,
    )
    yield call("insert_receipts", new, many("'\\x00'::bytea"), many("NULL::bytea"))
    yield call("insert_contacts", new, *(none,) * 3, texts)
    yield call("find_external", many("'hotline'::text"), many("'x-' || 2 * i"))
    for cases in (CASES, new):
        yield call("store_holding", cases, texts, none, texts, many("1"))
    yield call("store_cases", CASES, texts, many("1"), texts, flags, *(moments,) * 5, *days)
    yield call("insert_steps", CASES, moments, texts, many("'{}'::jsonb"), none)
    for name in (
        "erase_words",
        "erase_step_words",
        "erase_contact",
        "read_contact",
        "read_steps",
        "read_value",
    ):
        yield call(name, case_id("3"))
    yield call("find_case", case_id("3"), "NULL")
    yield call("find_case", "NULL", "'n-3'")
    yield from _lists_of_cases(rows)
    importing = "services.inquiry.importing"
    yield Call(importing, "read_progress", ("'other-7'",))
    yield Call(importing, "keep_progress", ("'other-7'", "7"))
    yield Call(importing, "keep_rejected", ("'new'", many("i"), texts, texts))
    for name in ("count_rejected", "read_rejected", "forget_rejected"):
        yield Call(importing, name, ("'mine'",))
    yield Call(importing, "forget_progress", ("'other-7'",))
    yield Call(importing, "try_lock_source", ("'hotline'",))


def _lists_of_cases(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("services.inquiry", name, arguments)

    for after in ("NULL", case_id(str(rows // 2))):
        yield call("list_cases", after, "50")
        for state in _STATES:
            yield call("list_cases_in", f"'{state}'", after, "50")
        yield call("list_to_accept", after, "50")
    yield call("contacts_of", CASES)
    yield call("receipts_from", case_id("7"), case_id(str(rows // 2)), "50")


def publisher_calls(rows: int) -> Iterator[Call]:
    """A call, or several, of each named statement of the publisher."""
    yield from _publication_calls(rows)
    yield from _subscription_calls()
    yield from _contact_calls()
    yield from _delivery_calls()


def _publisher(name: str, *arguments: str) -> Call:
    return Call("services.publisher", name, arguments)


def _publication_calls(rows: int) -> Iterator[Call]:
    call, one = _publisher, case_id(str(OWN + 1))
    yield call("insert_publication", "'new'", "'draft'", "1", NOW)
    yield call("insert_version", one, "2", "'t'", "'s'", "'b'", "ARRAY['roads']", "NULL", "NULL", "'me'", NOW)
    for name in ("publication_head", "public_publication", "desk_publication"):
        yield call(name, one)
    yield call("move_publication", one, "'draft'", "2", NOW)
    yield call("approve_version", one, "1", "'you'", NOW)
    yield call("publish_version", one, "1", NOW)
    yield call("swap_public_version", one, "1", NOW)
    yield call("withdraw_publication", one, "'wrong'", NOW)
    middle = (
        f"(SELECT changed_at FROM publication WHERE id = {case_id(str(rows // 2))})",
        case_id(str(rows // 2)),
    )
    for after in (("NULL", "NULL"), middle):
        yield call("public_publications", *after, "50")
        for topic in ("roads", "rare"):
            yield call("public_publications_on", *after, f"'{topic}'", "50")
        yield call("desk_publications", *after, "50")
        for state in ("published", "draft"):
            yield call("desk_publications_in", *after, f"'{state}'", "50")
    yield call("feed_changed_at")
    yield call("feed_of_topic_changed_at", "'rare'")
    yield call("push_progress", one)
    yield call("push_progress", "'push'")
    yield call(
        "versions_to_push", f"(SELECT array_agg({case_id('i + 200')}) FROM generate_series(1, {OWN}) i)"
    )


def _subscription_calls() -> Iterator[Call]:
    call, pending, active = _publisher, case_id("3"), case_id(str(OWN + 1))
    yield call(
        "insert_subscription",
        "'new'",
        "'email'",
        "'pending'",
        "'{}'",
        "'zh'",
        "'h'",
        "'a'",
        "'k'",
        NOW,
        "NULL",
    )
    yield call("subscription", active)
    yield call("rotate_secret", active, NOW)
    yield call("lock_address", "7")
    yield call("active_of_address", "'webhook'", f"'h-{OWN + 1}'")
    yield call("confirm_subscription", pending, NOW)
    yield call("end_subscriptions", f"ARRAY[{active}]", NOW)
    yield call("drop_unconfirmed", f"ARRAY[{pending}]")
    for topic in ("roads", "rare"):
        yield call("subscribers_page", f"ARRAY['{topic}']", "''", "500")
    yield call("subscribers", CASES)


def _contact_calls() -> Iterator[Call]:
    call = _publisher
    texts, keys = many("'x'::text"), many("'k'::bytea")
    for name in (
        "contacts_of",
        "announce_contacts",
        "erase_contacts",
        "forget_webhooks",
        "drop_open_notices",
        "drop_waiting_notices",
        "take_early_steps",
        "notice_recipients",
    ):
        yield call(name, CASES)
    yield call("want_notices", CASES, many("false"))
    yield call("keep_contacts", CASES, texts, texts, *(keys,) * 4)
    yield call("release_waiting_notices", CASES, many("'email'::text"), NOW)
    yield call("insert_early_steps", CASES, many("'new-' || i"), texts, many(NOW))


def _delivery_calls() -> Iterator[Call]:
    call = _publisher
    new, lanes, moments = many("'new-' || i"), many("'email'::text"), many(NOW)
    yield call("insert_notices", new, lanes, CASES, many("'x'::text"), moments, many("'pending'::text"), NOW)
    yield call("insert_confirmation", "'new'", case_id("3"), NOW, NOW)
    yield call("insert_push", new, CASES, lanes, "'push'", "1", NOW, NOW)
    yield call("open_push_batch", "'push'", "1", NOW)
    for version in ("1", "2"):
        yield call("push_is_open", "'push'", version)
    yield call("close_push_batch", case_id("3"), "1", NOW)
    yield call("push_rows", "'push'", "1")
    for lane in ("email", "webhook"):
        for bulk in ("true", "false"):
            yield call("claim_deliveries", f"'{lane}'", bulk, NOW, NOW, "100")
    yield call("recheck", "'d-0000007'")
    ids, attempts = many("'d-' || lpad(i::text, 7, '0')"), many("0")
    yield call("release_deliveries", ids, attempts, NOW)
    yield call("record_earlier_results", ids, attempts, many("'sent'::text"), moments)
    yield call("record_results", ids, attempts, many("'sent'::text"), moments, many("NULL::text"), moments)


_LOG = "services.audit.log"
_WRITER = sql.load(_LOG)["avoid_scans"].splitlines()[-1]


def audit_calls(rows: int) -> Iterator[Call]:
    """A call, or several, of each named statement of the log, its readers and the traces."""
    yield from _reader_calls(rows)
    yield from _writer_calls(rows)
    yield from _gap_calls()
    yield from _trace_calls(rows)


def _reader_calls(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("services.audit", name, arguments)

    end, middle = str(rows), str(rows // 2)
    yield call("try_lock", "7")
    for name in ("log_size", "next_log_offsets"):
        yield call(name)
    yield call("entry_of_event", "'00000000-0000-7000-8000-000000000007'")
    yield call("entries_from", middle, "100")
    for before in (middle, end):
        yield call("newest_entries", before, "100")
    for subject in (case_id("3"), case_id(middle), "'unreadable'", "'nobody'"):
        for index in ("0", middle):
            yield call("entries_of_subject", subject, index, "100")
    yield call("appended_at", middle)
    yield call("any_since", f"{rows - 100}", end, end)
    yield call("kept_entries", middle, f"{rows // 2 + 100}")
    yield call("sequences_of_subjects", CASES, "'/services/inquiry'")
    others, types = "'{/services/routing,/services/publisher}'", "'{accepted}'"
    yield call("newest_subject")
    yield call("next_subjects", end, "1000", others, types)
    yield call("mark_checked", "7")
    for after in ("''", case_id(middle)):
        yield call("begun_since", after, "1000")
    yield call("late_beginning", "'t.main'")


def _writer_calls(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call(_LOG, name, arguments, settings=_WRITER)

    end, subjects = str(rows), many("i")
    for name in ("take_log_over", "log_head", "log_has_begun", "lock_log_head", "log_cursors"):
        yield call(name)
    yield call("begin_log", "'key'")
    yield call("update_log_head", end, "'{}'", f"{rows + 1}")
    topics, places = many("'t.new'::text"), many("i")
    yield call("advance_log_cursors", topics, *(places,) * 5, many("NULL::bytea"))
    yield call("reset_log_cursor", "'t.new'", "0", "0", "7")
    yield call("keep_log_refusals", topics, *(places,) * 3, topics, NOW)
    yield call("open_log_refusals")
    yield call("close_log_refusal", "'t.main'", "3", "7", "7", "'me'", "'why'", NOW)
    yield call("log_subjects", CASES)
    yield call("keyed_subjects")
    yield call("last_positions", subjects)
    sources = many("'/services/inquiry'::text")
    yield call("entries_at_positions", subjects, sources, many("10000000001 + i % 5"))
    yield call("words_of_subjects", subjects)
    yield call("leaf_hashes_from", f"{rows - 100}")
    hashes = many("'h'::bytea")
    yield call("insert_log_tiles", many("9"), places, hashes)
    yield call("insert_log_correlations", many("'new-' || i"), subjects)
    yield call("destroy_log_keys", subjects)
    yield call("insert_log_checkpoint", f"{rows + 1}", "'note'")
    yield call("newest_log_checkpoint")
    yield call("thin_log_checkpoints", end, "1000")
    yield call("log_tiles", "0", str(rows // 2), f"{rows // 2 + 400}")
    yield call("log_entries", str(rows // 2), f"{rows // 2 + 100}")
    yield call("delete_log_words", f"ARRAY[{rows + 1}]")


def _gap_calls() -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call(_LOG, name, arguments, settings=_WRITER)

    subjects, sources = many("i"), many("'/services/inquiry'::text")
    first, new = many("10000000001"), many("10000000000 + i")
    yield call("log_gaps_of", subjects, sources)
    yield call("delete_log_gaps", subjects, sources, first)
    yield call(
        "insert_log_gaps", subjects, new, sources, first, first, many(NOW), many("false"), many("NULL::text")
    )
    yield call("report_log_gaps", NOW, "100")
    for before in ("'2026-11-24T00:00:01Z'::timestamptz", "'infinity'::timestamptz"):
        yield call("count_log_gaps", before)
    for accepted in ("false", "true"):
        yield call("list_log_gaps", accepted, "100")
    yield call("accept_log_gaps", case_id("3"), "'me'")


def _trace_calls(rows: int) -> Iterator[Call]:
    def call(name: str, *arguments: str) -> Call:
        return Call("services.audit.tracing", name, arguments)

    middle = str(rows // 2)
    yield call("subjects_of_trace", case_id("3"))
    yield call("subjects_of_trace", "'c-7'")
    for index in ("0", middle):
        yield call("events_of_subjects", "'{1,2,3,4,5,6,7,8,9}'", index, "1000")
    yield call("events_between", middle, f"{rows // 2 + 100}")
    yield call("events_by_id", many("('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid"))
    yield call("trace_beginnings", CASES)
    yield call("begin_trace_export")
    yield call("trace_export_next")
    yield call("advance_trace_export", "7", "8")


def service_calls(rows: int) -> list[Call]:
    """The calls of all four services on tables of `rows` rows."""
    return [*routing_calls(), *inquiry_calls(rows), *publisher_calls(rows), *audit_calls(rows)]
