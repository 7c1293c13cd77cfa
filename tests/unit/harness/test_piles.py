"""What a plan has read and answered."""

from typing import Any

from harness.piles import indexes_read_whole, rows_answered, rows_read


def node(kind: str, rows: float, *plans: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Node Type": kind, "Actual Rows": rows, "Actual Loops": 1, "Plans": list(plans), **more}


def test_rows_that_a_filter_drops_are_read_and_loops_count() -> None:
    scan = node("Index Scan", 2, **{"Rows Removed by Filter": 48}) | {"Actual Loops": 10}
    plan = node("Limit", 20, node("Nested Loop", 20, node("Function Scan", 10), scan))
    assert rows_read(plan) == 500
    assert rows_answered(plan) == 20


def test_a_bitmap_counts_its_heap_rows_once() -> None:
    heap = node("Bitmap Heap Scan", 3, node("Bitmap Index Scan", 9), **{"Rows Removed by Index Recheck": 6})
    assert rows_read(heap) == 9


def test_a_statement_that_writes_answers_what_it_writes() -> None:
    source = node("Index Scan", 7, **{"Parent Relationship": "Outer"})
    assert rows_answered(node("ModifyTable", 0, source)) == 7
    assert rows_answered(node("Aggregate", 1, node("ModifyTable", 0, source))) == 7


def test_an_index_is_read_whole_if_its_first_column_is_not_asked() -> None:
    def scan(index: str, condition: str) -> dict[str, Any]:
        return node("Index Scan", 1, **{"Index Name": index, "Index Cond": condition})

    first = {"by_consumer": "consumer", "by_lower_key": "lower(key)"}
    asked = scan("by_consumer", "((consumer = $1) AND (key = $2))")
    whole = scan("by_consumer", "((key = $2) AND (other_consumer = $1))")
    ordered = node("Index Only Scan", 1, **{"Index Name": "by_consumer"})
    assert (
        indexes_read_whole(
            node("Append", 2, asked, ordered, scan("by_lower_key", "(lower(key) = $1)")), first
        )
        == set()
    )
    assert indexes_read_whole(node("Append", 2, asked, whole), first) == {"by_consumer"}
