"""How long a function is and how deep it nests, and what the check makes of it."""

from pathlib import Path

import pytest

from checks.function_size import Measured, findings, measure

LONG = "def long() -> None:\n" + "    pass\n" * 60
DEEP = """
class Class:
    def deep(self) -> None:
        for a in b:
            if a:
                with a:
                    while a:
                        try:
                            pass
                        finally:
                            pass
"""


def only(source: str) -> Measured:
    (found,) = measure(source)
    return found


def test_a_function_is_measured_from_its_def_to_its_last_line() -> None:
    assert only("@decorated\ndef two() -> None:\n    return None\n") == Measured("two", 2, 2, 0)
    assert only(LONG).lines == 61


def test_each_block_nests_and_a_method_has_the_name_of_its_class() -> None:
    assert only(DEEP) == Measured("Class.deep", 3, 9, 5)


@pytest.mark.parametrize(
    ("body", "nesting"),
    [
        ("return 1", 0),
        ("x = [a for a in b if a]", 0),
        ("if a:\n        return 1", 1),
        ("if a:\n        b\n    elif c:\n        d\n    elif e:\n        f\n    else:\n        g", 1),
        ("if a:\n        b\n    else:\n        if c:\n            d\n        e", 2),
        ("async with a, b:\n        async for c in d:\n            e", 2),
        ("try:\n        a\n    except B:\n        if c:\n            d", 2),
        ("match a:\n        case 1:\n            if b:\n                c", 2),
        ("for a in b:\n        c\n    else:\n        if d:\n            e", 2),
    ],
)
def test_elif_and_comprehensions_do_not_nest(body: str, nesting: int) -> None:
    assert only(f"async def one():\n    {body}\n").nesting == nesting


def test_a_function_inside_another_is_measured_by_itself() -> None:
    source = "def outer():\n    if a:\n        def inner():\n            if b:\n                c\n"
    assert [(found.name, found.nesting) for found in measure(source)] == [("outer", 1), ("outer.inner", 1)]


def test_a_finding_names_the_place_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(LONG)
    (tmp_path / "deep.py").write_text(DEEP)
    assert list(findings(tmp_path, {})) == [
        "deep.py:3: Class.deep nests 5 blocks, at most 4 are allowed: split it",
        "long.py:1: long has 61 lines, at most 60 are allowed: split it",
    ]


def test_an_exception_needs_a_reason_and_a_function_that_needs_it(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(LONG)
    assert list(findings(tmp_path, {"long.py::long": "a table, one row a line"})) == []
    unneeded = "the exception for {} has no reason or is not needed: remove it"
    assert list(findings(tmp_path, {"long.py::long": " ", "gone.py::gone": "it was long"})) == [
        "long.py:1: long has 61 lines, at most 60 are allowed: split it",
        f"pyproject.toml:1: {unneeded.format('gone.py::gone')}",
        f"pyproject.toml:1: {unneeded.format('long.py::long')}",
    ]
