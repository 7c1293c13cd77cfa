"""The choices of a citizen in the languages of the pack: its own, and English if it names any in English."""

import re

import pytest

from services.inquiry.http.views import kind_choices, service_groups
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.policy.tables import Named
from tests.paths import REPO

CHINESE = re.compile(r"[\u3400-\u9fff]")


@pytest.fixture(params=["cn-city", "us-city", "nl-city"])
def any_pack(request: pytest.FixtureRequest) -> Pack:
    return load_pack(REPO / "policies" / request.param)


def test_a_pack_that_names_a_choice_in_english_names_them_all(any_pack: Pack) -> None:
    named: list[Named] = [*any_pack.services, *any_pack.departments, *any_pack.areas]
    english = {row.name_en is not None for row in named} | {
        service.group_en is not None for service in any_pack.services
    }
    assert english == {any_pack.language == "zh-CN"}


def test_an_english_reader_of_a_chinese_city_is_offered_no_chinese(pack: Pack) -> None:
    shown = [text for _, text in kind_choices(pack, "en")]
    for group, services in service_groups(pack, "en"):
        shown += [group, *(text for _, text in services)]
    shown += [area.in_language("en") for area in pack.areas]
    assert [text for text in shown if CHINESE.search(text)] == []


def test_a_group_is_the_same_group_in_every_language(any_pack: Pack) -> None:
    own, english = (service_groups(any_pack, language) for language in ("zh", "en"))
    assert [[code for code, _ in services] for _, services in own] == [
        [code for code, _ in services] for _, services in english
    ]
    names = {(service.group, service.group_in("en")) for service in any_pack.services}
    assert len(names) == len({group for group, _ in names}) == len({name for _, name in names})
