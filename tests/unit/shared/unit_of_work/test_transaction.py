"""A unit of work on a fake connection: numbering, inheritance from the cause, and what is written."""

import datetime as dt
from typing import Any

import orjson
import pytest

from harness.fixed_clock import FixedClock
from shared.contracts.inquiry import InquiryErased, InquiryReceived, NoteWords
from shared.contracts.routing import CaseOffered, CaseTriaged, CaseWithdrawn, SignAction
from shared.decision import TimerSpec
from shared.errors import EventTooLarge
from shared.events.decoding import IncomingEvent, decode
from shared.ids import derived_id
from shared.unit_of_work.pending import QUERIES
from shared.unit_of_work.transaction import Tx
from tests.unit.shared.made import CASE, NOW, FakeConnection, raw, record

TRIAGED = CaseTriaged(reason="no_rule", attempt=1)
OWN, FOREIGN = "/services/routing", "/services/inquiry"
GRACE = dt.timedelta(seconds=30)
RECEIVED = InquiryReceived(
    number="20261124-7K3M9Q2XWB-F", kind="help", service_code="x", channel="web", secret_hash="0" * 64
)
OFFER = CaseOffered(
    number="1", role="lead", lead="water", kind="help", service_code="x", visibility="public", attempt=1
)


def unit_of_work(epoch: int = 1, **rows: Any) -> Tx:
    connection: Any = FakeConnection(**rows)
    clock = FixedClock(NOW)
    return Tx(connection, service="routing", namespace="civic", clock=clock, epoch=epoch, grace=GRACE)


async def locked(*, epoch: int = 1, erased: bool = False, **sequences: int) -> Tx:
    row = {"id": CASE, "sequences": orjson.dumps(sequences), "erased": erased}
    tx = unit_of_work(epoch, **{QUERIES["read_sequences"]: [row]})
    await tx.lock([CASE])
    executed(tx).clear()
    return tx


def executed(tx: Tx) -> list[tuple[str, tuple[Any, ...]]]:
    return tx.connection.executed  # type: ignore[union-attr,no-any-return]


def cause(**changes: Any) -> IncomingEvent[Any]:
    made = record(
        RECEIVED, actor="citizen", policy="cn-city@1", jurisdiction="cn-city", correlation="trace", **changes
    )
    return decode(made, RECEIVED.contract, FixedClock(NOW - dt.timedelta(minutes=5)))


def action() -> IncomingEvent[Any]:
    value = {
        "specversion": "1.0",
        "id": "1",
        "source": "/x",
        "type": "civic.action.sign.v1",
        "subject": CASE,
        "time": "2026-11-24T08:00:00Z",
        "data": {},
    }
    made = raw(orjson.dumps(value), topic="civic.department.water.actions.v1")
    return decode(made, SignAction.contract, FixedClock(NOW))


def emitted(tx: Tx) -> list[dict[str, Any]]:
    return [orjson.loads(row.value) for row in tx._pending.outbox]


async def test_aggregates_are_locked_once_each_in_id_order() -> None:
    tx = unit_of_work()
    await tx.lock(["b", "a", "b"])
    assert [arguments for _, arguments in executed(tx)] == [(["a", "b"],)] * 2


async def test_nothing_to_lock_asks_the_database_nothing() -> None:
    tx = unit_of_work()
    await tx.lock([])
    assert executed(tx) == []


async def test_time_stands_still_from_the_moment_when_the_locks_are_held() -> None:
    clock = FixedClock(NOW)
    connection: Any = FakeConnection()
    tx = Tx(connection, service="routing", namespace="civic", clock=clock, epoch=1, grace=GRACE)
    clock.moment = NOW + dt.timedelta(hours=1)
    await tx.lock([CASE])
    clock.moment = NOW + dt.timedelta(hours=2)
    assert tx.now == NOW + dt.timedelta(hours=1)


async def test_events_of_a_subject_are_numbered_without_gaps_by_source() -> None:
    tx = await locked(**{OWN: 10**10 + 4})
    numbers = [
        tx.emit(TRIAGED, subject=CASE).sequence,
        tx.emit(TRIAGED, subject=CASE).sequence,
        tx.emit(OFFER, subject=CASE, unit="water").sequence,
        tx.emit(OFFER, subject=CASE, unit="parks").sequence,
    ]
    assert numbers == [5, 6, 1, 1]
    assert tx.last_ordinal(CASE, OWN) == 10**10 + 6


async def test_a_new_epoch_goes_on_with_the_sequence() -> None:
    tx = await locked(epoch=2, **{OWN: 10**10 + 4})
    assert tx.emit(TRIAGED, subject=CASE).sequence == 5
    assert tx.last_ordinal(CASE, OWN) == 2 * 10**10 + 5
    assert emitted(tx)[0]["epoch"] == 2


async def test_an_event_inherits_from_its_cause_what_is_not_named() -> None:
    tx, because = await locked(), cause()
    tx.emit(TRIAGED, subject=CASE, cause=because)
    event = emitted(tx)[0]
    assert (event["causationid"], event["correlationid"]) == (because.id, "trace")
    assert (event["actor"], event["policyversion"], event["jurisdiction"]) == (
        "citizen",
        "cn-city@1",
        "cn-city",
    )
    assert event["effectivetime"] == "2026-11-24T08:00:00Z"
    assert event["time"] == "2026-11-24T08:00:00Z"


async def test_what_is_named_wins_over_the_cause() -> None:
    tx = await locked()
    tx.emit(
        TRIAGED,
        subject=CASE,
        cause=cause(),
        actor="role:clerk",
        effective=NOW - dt.timedelta(days=1),
        policy="p@2",
        jurisdiction="p",
        causation="dispatch",
    )
    event = emitted(tx)[0]
    assert event["effectivetime"] == "2026-11-23T08:00:00Z"
    assert (event["actor"], event["policyversion"], event["jurisdiction"], event["causationid"]) == (
        "role:clerk",
        "p@2",
        "p",
        "dispatch",
    )


async def test_an_event_without_a_cause_begins_the_trace_of_its_case() -> None:
    tx = await locked()
    tx.emit(TRIAGED, subject=CASE)
    event = emitted(tx)[0]
    assert event["correlationid"] == CASE
    assert "causationid" not in event
    tx.create(["unreadable:t:0"])
    made = tx.emit(TRIAGED, subject="unreadable:t:0")
    assert emitted(tx)[1]["correlationid"] == made.id


async def test_the_id_of_an_event_with_a_cause_is_the_same_on_every_replay() -> None:
    ids = set()
    for _ in range(2):
        tx = await locked()
        ids.add(tx.emit(TRIAGED, subject=CASE, cause=cause()).id)
    assert ids == {derived_id(cause().id, "civic.case.triaged.v1", f"\n{CASE}")}
    tx = await locked()
    assert tx.emit(TRIAGED, subject=CASE, cause=cause(), target="second").id not in ids
    assert tx.emit(TRIAGED, subject=CASE).id not in ids


async def test_the_same_id_of_an_action_on_two_topics_leads_to_different_events() -> None:
    one, other = action(), action()
    object.__setattr__(other.event, "source", "civic.department.parks.actions.v1")
    tx = await locked()
    made = [tx.emit(TRIAGED, subject=CASE, cause=each).id for each in (one, one, other)]
    assert made[0] == made[1] != made[2]


async def test_a_record_goes_to_its_unit_and_says_what_its_delivery_is_known_by() -> None:
    tx = await locked()
    made = tx.emit(OFFER, subject=CASE, unit="water", cause=cause())
    row = tx._pending.outbox[0]
    assert (row.topic, row.key) == ("civic.department.water.v1", CASE)
    assert emitted(tx)[0]["source"] == "/services/routing/departments/water"
    assert orjson.loads(row.delivery or "") == {
        "unit": "water",
        "subject": CASE,
        "id": made.id,
        "type": "civic.department.case_offered.v1",
    }
    assert made.id != tx.emit(OFFER, subject=CASE, unit="parks", cause=cause()).id


async def test_an_event_of_another_service_is_refused_and_takes_no_number() -> None:
    tx = await locked()
    with pytest.raises(ValueError, match="is written by inquiry, not by routing"):
        tx.emit(RECEIVED, subject=CASE)
    with pytest.raises(ValueError, match="name the unit"):
        tx.emit(CaseWithdrawn(number="1", reason="redispatched"), subject=CASE)
    assert tx.emit(TRIAGED, subject=CASE).sequence == 1


async def test_a_subject_that_is_not_locked_is_refused() -> None:
    tx = await locked()
    with pytest.raises(KeyError):
        tx.emit(TRIAGED, subject="other")
    with pytest.raises(KeyError):
        tx.mark_processed("other", FOREIGN, 1)


async def test_an_event_that_is_too_large_is_not_in_the_outbox() -> None:
    tx = await locked()
    with pytest.raises(EventTooLarge):
        tx.emit(TRIAGED, subject=CASE, words=NoteWords.model_construct(text="x" * 1_000_000))
    assert not tx.wrote_events


async def test_a_restored_snapshot_takes_back_everything_since() -> None:
    tx = await locked()
    tx.emit(TRIAGED, subject=CASE)
    snapshot = tx.snapshot()
    tx.emit(TRIAGED, subject=CASE)
    tx.create(["new"])
    tx.mark_processed(CASE, FOREIGN, 7)
    tx.mark_action_processed("t", "a-1")
    tx.schedule(CASE, TimerSpec("k", NOW))
    tx.erase(CASE)
    tx.restore(snapshot)
    assert tx.last_ordinal(CASE, FOREIGN) == 0
    assert tx.emit(TRIAGED, subject=CASE).sequence == 2
    await tx.flush()
    assert [query for query, _ in executed(tx)] == [QUERIES["update_sequences"], QUERIES["insert_outbox"]]


async def test_each_table_is_written_once_and_the_erasure_comes_last() -> None:
    tx = await locked()
    tx.create(["b", "a"])
    tx.emit(TRIAGED, subject=CASE)
    tx.emit(TRIAGED, subject="a")
    tx.mark_action_processed("t", "a-1")
    tx.mark_action_processed("t", "a-2")
    tx.schedule(CASE, TimerSpec("warn", NOW))
    tx.cancel(CASE, "other", "another")
    tx.erase(CASE)
    await tx.flush()
    names = {query: name for name, query in QUERIES.items()}
    assert [names[query] for query, _ in executed(tx)][:7] == [
        "insert_aggregates",
        "update_sequences",
        "insert_outbox",
        "cancel_timers",
        "schedule_timers",
        "insert_seen_events",
        "mark_erased",
    ]
    written = {names[query]: arguments for query, arguments in executed(tx)}
    assert written["insert_aggregates"][0] == ["a", "b"]
    assert written["update_sequences"] == ([CASE], [f'{{"{OWN}":{10**10 + 1}}}'])
    assert written["insert_seen_events"][:2] == (["t", "t"], ["a-1", "a-2"])
    assert written["cancel_timers"] == ([CASE, CASE], ["another", "other"])


async def test_nothing_to_write_asks_the_database_nothing() -> None:
    tx = await locked()
    await tx.flush()
    assert executed(tx) == []


async def test_a_deadline_check_fires_a_grace_period_after_its_moment() -> None:
    tx = await locked()
    tx.schedule(CASE, TimerSpec("check", NOW, is_deadline_check=True))
    tx.schedule(CASE, TimerSpec("warn", NOW))
    tx.schedule(CASE, TimerSpec("warn", NOW + GRACE, {"percent": 80}))
    await tx.flush()
    ((_, arguments),) = executed(tx)
    _, kinds, due, fires_at, checks, data = arguments
    assert kinds == ["check", "warn"]
    assert due == [NOW, NOW + GRACE]
    assert fires_at == [NOW + GRACE, NOW + GRACE]
    assert checks == [True, False]
    assert data == ["{}", '{"percent":80}']


async def test_bytes_stored_for_an_erased_subject_are_redacted_again() -> None:
    tx = await locked(erased=True)
    tx.redact_if_erased(CASE)
    assert CASE in tx._pending.erased
    tx = await locked()
    tx.redact_if_erased(CASE)
    assert not tx._pending.erased


async def test_emitting_an_erasure_erases_the_subject() -> None:
    connection: Any = FakeConnection()
    tx = Tx(connection, service="inquiry", namespace="civic", clock=FixedClock(NOW), epoch=1, grace=GRACE)
    tx.create([CASE])
    tx.emit(InquiryErased(basis="retention"), subject=CASE)
    assert CASE in tx._pending.erased
