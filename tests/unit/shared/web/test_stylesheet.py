"""The stylesheet keeps what it promises: contrast on both grounds, and no colour outside the tokens."""

import re
from pathlib import Path

import pytest

import shared.web

CSS = (Path(shared.web.__file__).parent / "static" / "civicloom.css").read_text("utf-8")
ROOTS = re.findall(r":root \{(.*?)\n\s*\}", CSS, re.DOTALL)
TOKEN = re.compile(r"--([a-z-]+): (#[0-9a-f]{6})")
LIGHT = dict(TOKEN.findall(ROOTS[0]))
DARK = LIGHT | dict(TOKEN.findall(ROOTS[1]))

TEXT_PAIRS = [
    *((ink, ground) for ink in ("ink", "ink-soft", "link") for ground in ("ground", "ground-soft")),
    *((ink, "ground") for ink in ("link-visited", "bad", "good", "warn", "info")),
    *((tone, f"{tone}-ground") for tone in ("good", "warn", "bad", "info")),
    *(("ink", f"{tone}-ground") for tone in ("good", "warn", "bad", "info")),
    ("ink", "ground-strong"),
    ("ink-soft", "info-ground"),
    *(("on-accent", ground) for ground in ("accent", "accent-strong", "accent-second")),
    ("focus-ink", "focus"),
]
EDGE_PAIRS = [("edge-control", "ground"), ("edge-control", "ground-soft"), ("bad", "ground")]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_knows_its_ends() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") < 4.5


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_aa_contrast_and_edges_of_controls_are_seen(tokens: dict[str, str]) -> None:
    low = [(ink, ground) for ink, ground in TEXT_PAIRS if contrast(tokens[ink], tokens[ground]) < 4.5]
    assert low == []
    faint = [(edge, ground) for edge, ground in EDGE_PAIRS if contrast(tokens[edge], tokens[ground]) < 3]
    assert faint == []


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert "url(" not in CSS
    assert "@import" not in CSS
