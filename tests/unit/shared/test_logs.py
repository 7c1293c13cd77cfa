"""Lines of libraries: JSON whatever they say, and not the same one many times a second."""

import json
import logging
import sys

import pytest

from shared.logs import _LibraryLine, _Seldom


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    trace = None
    if error:
        try:
            _ = 1 // 0
        except ZeroDivisionError:
            trace = sys.exc_info()
    return logging.LogRecord("aiokafka", logging.ERROR, "f.py", 1, message, arguments, trace)


@pytest.mark.parametrize("said", ['it says "no"', "two\nlines", "back\\slash", "路灯"])
def test_a_line_is_json_whatever_is_said(said: str) -> None:
    line = _LibraryLine("inquiry").format(record("%s", said))
    assert json.loads(line) == {"logger": "aiokafka", "event": said, "service": "inquiry", "level": "error"}


def test_an_error_comes_with_its_trace() -> None:
    assert (
        "ZeroDivisionError"
        in json.loads(_LibraryLine("inquiry").format(record("x", error=True)))["exception"]
    )


def test_the_same_sentence_is_said_once_and_again_later() -> None:
    seldom = _Seldom()
    assert [seldom.filter(record("node %s is away", n)) for n in range(3)] == [True, False, False]
    assert seldom.filter(record("another"))
    often = _Seldom(seconds=0)
    assert all(often.filter(record("x")) for _ in range(3))
