"""The pictures of the documentation are what the code is."""

import sys

from tests.paths import REPO

sys.path.insert(0, str(REPO / "docs"))
from draw import ImportGraph, draw_imports, pictures, read_imports

SHARED = read_imports("shared")


def test_each_picture_is_what_the_code_gives_today() -> None:
    """Else: `python docs/draw.py`."""
    for name, picture in pictures().items():
        assert (REPO / "docs" / "pictures" / name).read_text("utf-8") == picture, name


def test_no_arrow_of_shared_runs_up_and_no_modules_form_a_circle() -> None:
    assert SHARED.arrows_up == []
    assert SHARED.circles == ()


def test_the_core_stands_in_its_order() -> None:
    floor = {name: number for number, row in enumerate(SHARED.floors) for name in row}
    assert floor["kafka"] < floor["events"] < floor["unit_of_work"]
    assert floor["unit_of_work"] < floor["outbox"] < floor["service"]
    assert floor["unit_of_work"] < floor["inbox"] < floor["service"]


def test_an_arrow_that_runs_up_would_be_seen() -> None:
    circle = ImportGraph(
        "p", {"a": frozenset({"b"}), "b": frozenset({"a"})}, {"a": (), "b": ()}, (("p.a", "p.b"),)
    )
    assert circle.arrows_up
    assert 'class="up"' in draw_imports(circle)
