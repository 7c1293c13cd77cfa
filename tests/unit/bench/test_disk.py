"""What a case costs on the disk: the difference of two measurements, by place."""

from bench.disk import Place, added


def test_places_are_what_came_on_top_most_first() -> None:
    before = {"a": Place(100, 10, 10), "same": Place(7)}
    after = {"same": Place(7), "a": Place(150, 20, 10), "new": Place(500)}
    assert added(before, after) == {"new": Place(500), "a": Place(50, 10, 0)}
    assert list(added(before, after)) == ["new", "a"]
    assert added(before, after)["a"].all == 60
