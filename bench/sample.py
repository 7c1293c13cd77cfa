"""Invented concerns of realistic size: 200 to 400 Chinese characters, one in ten with a contact."""

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from services.inquiry.domain.concern import Concern, Contact
from shared.contracts.inquiry import CaseKind, InquiryWords
from shared.policy.dispatch import Catalogue, NoMatch
from shared.policy.model import Pack

CONTACT_SHARE = 0.1
_TEXTS = 1000

_OPENINGS = (
    "您好，我是附近的居民，住在这里已经六年多了。",
    "我想反映一件事情，之前打过电话，一直没有下文。",
    "这个问题邻居们议论了很久，今天我替大家写下来。",
    "写这段话之前我已经去社区问过两次，得到的答复是再等等。",
)
_SENTENCES = (
    "从上个月开始，每天晚上十点以后情况就特别明显，老人和孩子都睡不好觉。",
    "我们自己清理过一回，可是没过三天又变成老样子，看来不从源头解决是不行的。",
    "路口那一段尤其严重，下雨天积着水，骑电动车的人经过时常常差一点摔倒。",
    "楼下的师傅说这归另外一家管，另外一家又说要先登记，来回跑了好几趟。",
    "听说去年年底开过一次协调会，会上定了期限，可是期限过了也没有人来看。",
    "我拍了照片，也记下了时间，如果需要可以随时提供，也愿意到现场一起看。",
    "这条路是孩子们上学的必经之路，早上七点半到八点人最多，希望能优先处理。",
    "物业贴过一张通知，说一周之内处理完毕，现在已经过去整整一个月了。",
    "我理解大家工作都忙，但这件事拖下去只会越来越难办，费用也会越来越高。",
    "隔壁小区有同样的情况，他们那边去年就修好了，不知道我们这里为什么不行。",
)
_CLOSINGS = (
    "恳请有关部门尽快核实处理，并告诉我们大概什么时候能有结果，谢谢。",
    "希望能给一个明确的答复，如果需要我们配合，请随时联系。",
    "麻烦各位了，期待早日看到改变。",
)
_TITLES = (
    "路面长期积水无人处理",
    "夜间噪声影响休息",
    "公共设施损坏多日",
    "办理流程反复跑腿",
    "小区门口通行不便",
)
_PLACES = ("建设路与文化街交叉口东北角", "和平小区三号楼北侧", "人民公园南门外停车场旁", "第二小学门前路段")


@dataclass(frozen=True, slots=True)
class Sample:
    """A concern, and how many units' topics the catalogue sends it to."""

    concern: Concern
    records: int

    def body(self) -> dict[str, Any]:
        """As a citizen posts it."""
        concern, words = self.concern, self.concern.words
        body: dict[str, Any] = {
            "title": words.title,
            "text": words.text,
            "place": words.place,
            "kind": concern.kind,
            "service_code": concern.service_code,
        }
        if concern.area is not None:
            body["area"] = concern.area
        if concern.contact is not None:
            body["contact"] = {"email": concern.contact.email, "phone": concern.contact.phone}
        return body


class Samples:
    """Accepts, repeatable, that the pack accepts by rule and sends, on that day, to units with topics."""

    def __init__(self, pack: Pack, on: dt.date, seed: int) -> None:
        self._random = random.Random(seed)
        self._routes = list(_routes(pack, on))
        if not self._routes:
            raise ValueError(f"{pack.name} sends nothing that it accepts by rule to a unit with topics")
        # Written beforehand: composing texts is no part of what is measured.
        self._texts = [self._write() for _ in range(_TEXTS)]

    def take(self, count: int) -> list[Sample]:
        return [self._one() for _ in range(count)]

    def _write(self) -> InquiryWords:
        choose = self._random
        text = [choose.choice(_OPENINGS), *choose.sample(_SENTENCES, choose.randint(5, 9))]
        return InquiryWords(
            title=choose.choice(_TITLES),
            text="".join([*text, choose.choice(_CLOSINGS)]),
            place=choose.choice(_PLACES),
        )

    def _contact(self) -> Contact | None:
        choose = self._random
        if choose.random() >= CONTACT_SHARE:
            return None
        number = choose.randrange(10**8)
        return Contact(name="林某", email=f"citizen{number}@example.org", phone=f"139{number:08d}")

    def _one(self) -> Sample:
        choose = self._random
        kind, service, area, records = choose.choice(self._routes)
        concern = Concern(
            words=choose.choice(self._texts),
            kind=kind,
            service_code=service,
            channel="api",
            area=area,
            contact=self._contact(),
        )
        return Sample(concern, records)


def _routes(pack: Pack, on: dt.date) -> Iterator[tuple[CaseKind, str, str | None, int]]:
    """Kind, service, area, and the number of units that get a record."""
    catalogue = Catalogue(pack)
    kafka = {unit.code for unit in pack.departments if unit.kafka}
    by_rule = [kind for kind in get_args(CaseKind) if pack.kind(kind).acceptance == "rule"]
    for service in pack.services:
        for area in (None, *(area.code for area in pack.areas)):
            match = catalogue.match(service.service_code, area, on)
            if service.active and not isinstance(match, NoMatch) and match.lead in kafka:
                records = sum(unit in kafka for unit in (match.lead, *match.co))
                for kind in by_rule:
                    yield kind, service.service_code, area, records
