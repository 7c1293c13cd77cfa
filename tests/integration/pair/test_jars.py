"""Kafka's jars: none is taken that is not known."""

import os
import shutil
import time
from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.errors import JarsRefusedError, LocalError
from deploy.local.kafka import Kafka

pytestmark = pytest.mark.integration


def test_a_jar_that_is_not_the_known_one_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libs = tmp_path / "kafka" / "libs"
    shutil.copytree(jars.kafka_libs(), libs, copy_function=os.link if _same_device(tmp_path) else shutil.copy)
    damaged = libs / "kafka-clients-4.3.1.jar"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.unlink()
    damaged.write_bytes(content)
    monkeypatch.setenv("CIVICLOOM_CACHE", str(tmp_path))
    with pytest.raises(JarsRefusedError, match=r"kafka-clients-4\.3\.1\.jar: expected SHA-256") as caught:
        jars.kafka_libs()
    assert caught.value.jar == damaged
    with pytest.raises(JarsRefusedError):
        Kafka(tmp_path / "data").start()


def _same_device(folder: Path) -> bool:
    return folder.stat().st_dev == jars.cache_folder().stat().st_dev


def test_jars_that_were_verified_before_are_there_at_once() -> None:
    jars.kafka_libs()
    begun = time.monotonic()
    assert len(list(jars.kafka_libs().glob("*.jar"))) > 50
    assert time.monotonic() - begun < 5


def test_an_official_kafka_can_be_named_and_must_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(LocalError, match="KAFKA_HOME"):
        jars.kafka_libs()
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.3.1.jar").touch()
    assert jars.kafka_libs() == tmp_path / "libs"
