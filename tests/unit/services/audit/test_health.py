"""What is said of the writer does not flap: neither between its tries nor between two copies."""

import time

import pytest
from prometheus_client import REGISTRY

from services.audit.health import WriterHealth


@pytest.fixture
def health() -> WriterHealth:
    made = WriterHealth()
    made.stopped()
    return made


def gauge() -> float | None:
    return REGISTRY.get_sample_value("civicloom_log_writer")


def test_a_writer_is_ready_after_its_first_good_batch_and_not_before(health: WriterHealth) -> None:
    assert (list(health.trouble), gauge()) == (["log"], 0)
    health.waits("Kafka is away")
    assert "has not read" in health.trouble["log"]
    health.good()
    assert (health.trouble, gauge()) == ({}, 1)


def test_a_broken_log_stays_broken_through_every_try_until_a_batch_is_good(health: WriterHealth) -> None:
    health.good()
    for _ in range(3):
        health.broken("another log")
        health.stopped()
        health.waits("the database is away")
        health.waits_for_lock(None)
        assert (health.trouble, gauge()) == ({"log": "another log"}, 0)
    health.good()
    assert (health.trouble, gauge()) == ({}, 1)


def test_what_passes_by_itself_is_shown_once_it_lasts(
    health: WriterHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    health.good()
    health.waits("the writer waits: KafkaConnectionError")
    assert health.trouble == {}
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 31)
    assert health.trouble == {"log": "the writer waits: KafkaConnectionError"}
    health.good()
    assert health.trouble == {}


def test_a_copy_that_waits_is_ready_only_if_the_other_one_keeps_the_lock(health: WriterHealth) -> None:
    health.broken("another log")
    for _ in range(4):
        health.waits_for_lock(None)
    assert health.trouble == {"log": "another log"}
    health.waits_for_lock(None)
    assert health.trouble == {}
    health.waits_for_lock("t/0 is another log")
    assert health.trouble == {"log": "t/0 is another log"}


def test_a_copy_that_starts_beside_a_writer_is_ready_at_once(health: WriterHealth) -> None:
    health.waits_for_lock(None)
    assert health.trouble == {}


def test_publishing_has_a_part_of_its_own(health: WriterHealth) -> None:
    health.good()
    health.unpublished("the disk is full")
    assert health.trouble == {"log files": "the disk is full"}
    health.unpublished(None)
    assert health.trouble == {}


def test_what_this_process_could_not_publish_is_another_ones_to_publish_once_that_has_the_log(
    health: WriterHealth,
) -> None:
    health.good()
    health.unpublished("publishing waits: no space")
    health.stopped()
    for _ in range(4):
        health.waits_for_lock(None)
    assert health.trouble == {"log files": "publishing waits: no space"}
    health.waits_for_lock(None)
    assert health.trouble == {}
