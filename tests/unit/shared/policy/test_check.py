from pathlib import Path

from shared.policy.check import check, remarks
from shared.policy.model import Pack
from tests.unit.shared.policy.conftest import POLICIES


def test_a_pack_that_cannot_be_used_is_reported_problem_by_problem(folder: Path) -> None:
    path = folder / "catalogue.csv"
    path.write_text(path.read_text().replace(",tho,", ",xyz,"))
    report = check(folder)
    assert len(report.problems) > 1
    assert all("catalogue.csv:" in problem and "xyz" in problem for problem in report.problems)


def test_services_without_a_rule_are_remarked(us_city: Pack) -> None:
    found = remarks(us_city)
    assert len(found) == 5
    assert "services.csv: ecc-escalation has no rule: its cases go to triage" in found


def test_units_that_no_rule_names_are_remarked() -> None:
    report = check(POLICIES / "nl-city")
    assert report.problems == []
    assert "departments.csv: pol is in no rule: only triage can give it a case" in report.remarks


def test_rules_for_single_areas_and_rules_without_effect_are_remarked(cn_city: Pack) -> None:
    base = {"service_code": "cityscape-garbage", "lead": "urban-management", "source": "own: test"}
    pack = Pack.of(
        cn_city.model_dump(mode="json")
        | {
            "catalogue": [
                base | {"rule_id": "general"},
                base | {"rule_id": "same", "area": "yunxi"},
                base | {"rule_id": "other", "area": "qingshi", "lead": "qingshi-urban"},
                base | {"rule_id": "lone", "area": "yunxi", "service_code": "market-price"},
            ]
        }
    )
    found = remarks(pack)
    assert [line for line in found if line.startswith("catalogue.csv")] == [
        "catalogue.csv: same overlaps general and says the same: delete it"
    ]
    assert "services.csv: market-price has rules for single areas only: other cases go to triage" in found
