"""Events that were never sent get other places where theirs are taken."""

import orjson

from shared.restore.renumber import Waiting, renumber

SOURCE = "/services/inquiry"


def row(number: int, id_: str, sequence: int, epoch: int = 1, *, paused: bool = False) -> Waiting:
    event = {"id": id_, "source": SOURCE, "subject": "case", "epoch": epoch, "sequence": f"{sequence:010d}"}
    return Waiting(number, orjson.dumps(event), paused)


def place(waiting: Waiting) -> tuple[int, int]:
    event = orjson.loads(waiting.value)
    return event["epoch"], int(event["sequence"])


def on_topic(ordinal: int) -> dict[str, dict[str, int]]:
    return {"case": {SOURCE: ordinal}}


def test_a_taken_place_and_all_after_it_move_above_the_topic() -> None:
    rows = [row(1, "mine", 5), row(2, "next", 6, paused=True)]
    changed, last = renumber(rows, on_topic(10**10 + 5), {"theirs": 10**10 + 5}, 2)
    assert [(one.id, one.paused, place(one)) for one in changed] == [(1, False, (2, 6)), (2, True, (2, 7))]
    assert last == on_topic(2 * 10**10 + 7)


def test_a_row_that_was_sent_keeps_its_bytes() -> None:
    changed, last = renumber([row(1, "sent", 5)], on_topic(10**10 + 7), {"sent": 10**10 + 5}, 2)
    assert changed == []
    assert last == on_topic(10**10 + 7)


def test_a_place_that_is_free_is_kept() -> None:
    changed, last = renumber([row(1, "mine", 6)], on_topic(10**10 + 5), {}, 2)
    assert changed == []
    assert last == on_topic(10**10 + 6)


def test_an_epoch_on_the_topic_is_never_undercut() -> None:
    changed, _ = renumber([row(1, "mine", 5)], on_topic(4 * 10**10 + 9), {}, 2)
    assert [place(one) for one in changed] == [(4, 10)]
