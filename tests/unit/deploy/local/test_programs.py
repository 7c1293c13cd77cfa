"""What `make run` starts: secrets that stay, ports that differ, and every sample text fit for its city."""

import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.local import oidc, sample
from deploy.local.programs import Plan, kept_secret
from shared.policy.loader import load_pack
from tests.paths import REPO

PAIR = {"DATABASE_URL": "postgres://postgres@127.0.0.1:1/civicloom", "KAFKA_BOOTSTRAP": "127.0.0.1:1"}


def plan(folder: Path, pack: str = "cn-city", smtp_url: str | None = None) -> Plan:
    return Plan(8080, folder, load_pack(REPO / "policies" / pack), PAIR, smtp_url=smtp_url)


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "secret.key"
    first = kept_secret(file)
    assert len(bytes.fromhex(first)) == 32
    assert kept_secret(file) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept_secret(tmp_path / "other" / "secret.key") != first


def test_a_shell_takes_the_settings_as_they_are(tmp_path: Path) -> None:
    file = plan(tmp_path / "a folder", smtp_url="smtp://me:it's $secret@mail.example").write_settings()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    command = f'. "{file}"; printf %s "$SMTP_URL|$DATA_DIR"'
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said == f"smtp://me:it's $secret@mail.example|{tmp_path / 'a folder'}"


def test_no_two_programs_share_a_port(tmp_path: Path) -> None:
    ports = plan(tmp_path).ports
    assert len(set(ports.values())) == len(ports)


def test_mail_is_kept_unless_a_server_is_named(tmp_path: Path) -> None:
    assert "mail" in [program.name for program in plan(tmp_path).city()]
    named = plan(tmp_path, smtp_url="smtp://mail.example:25")
    assert "mail" not in [program.name for program in named.city()]
    assert named.settings["SMTP_URL"] == "smtp://mail.example:25"


@pytest.mark.parametrize("pack", ["cn-city", "us-city", "nl-city"])
def test_every_desk_without_kafka_has_an_officer_and_one_with_it_to_be_watched(pack: str) -> None:
    loaded = load_pack(REPO / "policies" / pack)
    units = oidc.officer_units(loaded)
    assert len(set(units)) == len(units) >= 2
    assert {unit.code for unit in loaded.departments if not unit.kafka} < set(units)
    people = oidc.sample_people(units)
    assert len({person.subject for person in people}) == len({person.name for person in people})


def test_every_sample_concern_is_one_that_the_sample_city_takes() -> None:
    pack = load_pack(REPO / "policies" / "cn-city")
    texts = yaml.safe_load(Path(sample.__file__).with_name("sample_texts.yaml").read_text("utf-8"))
    assert len(texts["concerns"]) >= 40
    for service, area, title, text, *place in texts["concerns"]:
        assert service in pack.services_by_code, title
        assert area is None or area in pack.areas_by_code, title
        assert len(place) <= 1, title
        assert text.strip(), title
