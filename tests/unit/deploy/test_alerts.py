"""The alerts ask for what the services measure, and each has a page that says what to do."""

import importlib
import re

import pytest
import yaml
from prometheus_client import REGISTRY

from services.audit.log.sequencer import Appended
from services.audit.writer import count
from shared.settings import SERVICES
from tests.paths import REPO

RULES = yaml.safe_load((REPO / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)=(~?)"([^"]*)"')

for path in [*REPO.glob("services/**/metrics.py"), *REPO.glob("shared/**/metrics.py")]:
    importlib.import_module(".".join(path.relative_to(REPO).with_suffix("").parts))


def measured() -> set[str]:
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {family.name + suffix for family in REGISTRY.collect() for suffix in suffixes.get(family.type, ())}


def values(name: str, label: str) -> set[str]:
    """What stands in a label of a metric from the start, before anything has happened."""
    samples = [sample for family in REGISTRY.collect() for sample in family.samples if sample.name == name]
    return {sample.labels[label] for sample in samples if label in sample.labels}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_measured(rule: dict[str, str]) -> None:
    names = set(re.findall(r"civicloom_\w+", rule["expr"]))
    assert names - measured() == set()
    for name, matchers in SELECTOR.findall(rule["expr"]):
        for label, is_pattern, value in MATCHER.findall(matchers):
            known = {"job": {"civicloom"}, "service": set(SERVICES)}.get(label) or values(name, label)
            assert set(value.split("|") if is_pattern else [value]) <= known


def test_what_the_writer_counts_has_stood_at_0_before() -> None:
    name = "civicloom_log_records_total"
    before = values(name, "outcome")
    count(Appended(0, 4, duplicates=1, incidents=1, unparseable=1, words_refused=1))
    assert values(name, "outcome") == before


PARTS = ["What it means", "What a citizen notices", "What to do", "How to see that it is over"]


@pytest.mark.parametrize("name", [rule["alert"] for rule in RULES])
def test_an_alert_has_a_page_in_the_runbook(name: str) -> None:
    page = (REPO / "docs" / "runbook" / f"{name}.md").read_text("utf-8")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == PARTS
