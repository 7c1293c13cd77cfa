"""Sample cases in each state, and publications, made over the public API."""

import secrets
from dataclasses import dataclass
from typing import Any

from playwright.async_api import APIRequestContext, APIResponse, BrowserContext

from tests.browser.visitors import CITIZEN, OFFICER, Visitors
from tests.waiting import until

INQUIRIES = "/api/inquiry/v1/inquiries"
CASES = "/api/routing/v1/cases"
PUBLICATIONS = "/api/publisher/v1/publications"
SERVICE = "utilities-communications"  # goes to telecom, wherever it is

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """What a citizen gets for a case, and the id in the addresses of staff pages."""

    id: str
    number: str
    secret: str


@dataclass(frozen=True, slots=True)
class Samples:
    """Cases by their final state, and ids of publications by theirs."""

    offered: Case
    signed: Case
    replied: Case
    closed: Case
    returned: Case
    reported: Case
    draft: str
    published: str
    withdrawn: str


async def write(client: APIRequestContext, path: str, body: Json, **headers: str) -> Json:
    """A write over the API, with a new idempotency key."""
    answer = await client.post(path, data=body, headers={"Idempotency-Key": secrets.token_hex(8), **headers})
    return await _json(answer)


async def ask(client: APIRequestContext, title: str, text: str, **more: object) -> Case:
    """A new case; by default it is dispatched to the officer's unit at once."""
    concern = {"title": title, "text": text, "service_code": SERVICE, **more}
    taken = await write(client, INQUIRIES, concern)
    return Case(taken["id"], taken["number"], taken["secret"])


async def act(officer: APIRequestContext, case: Case, verb: str, **body: str) -> None:
    """The officer signs, replies or returns as soon as the unit has the case."""

    async def offered() -> bool:
        return (await officer.get(f"{CASES}/{case.id}")).status == 200

    await until(offered)
    await write(officer, f"{CASES}/{case.id}/actions/{verb}", body)


async def reaches(client: APIRequestContext, case: Case, state: str) -> None:
    """Waits until the citizen sees this state."""

    async def there() -> bool:
        answer = await client.get(f"{INQUIRIES}/{case.number}", headers={"X-Case-Secret": case.secret})
        return bool((await _json(answer))["state"] == state)

    await until(there)


async def publish(editor: APIRequestContext, approver: APIRequestContext, content: Json, *acts: str) -> str:
    """A publication on which the approver has done `acts`; returns its id."""
    made = await write(editor, PUBLICATIONS, content)
    for verb in acts:
        body = {"version": made["version"]} | ({"reason": "已由新办法代替。"} if verb == "withdraw" else {})
        await write(approver, f"{PUBLICATIONS}/{made['id']}/{verb}", body)
    return str(made["id"])


async def follow(context: BrowserContext, case: Case) -> None:
    """The citizen opens the case with number and secret, and the browser follows it from then on."""
    page = await context.new_page()
    await page.goto("/track")
    await page.locator("#number").fill(case.number)
    await page.locator("#secret").fill(case.secret)
    await page.locator("main button[type=submit]").click()
    await page.wait_for_url("**/track/case")
    await page.close()


async def create_samples(visitors: Visitors) -> Samples:
    """Makes all samples; the visitors remember who follows which case (`of replied` and so on)."""
    async with (
        visitors.visit(CITIZEN) as someone,
        visitors.visit(OFFICER) as at_desk,
        visitors.visit("editor") as writing,
        visitors.visit("approver") as approving,
    ):
        citizen, officer = someone.request, at_desk.request
        titles = {
            "offered": "三号楼的宽带晚上总是断",
            "signed": "地下车库没有手机信号",
            "replied": "The cabinet at Wenchang Road hums all night",
            "closed": "携号转网被要求先交违约金",
            "returned": "电线杆歪在人行道上",
        }
        cases = {
            state: await ask(
                citizen, title, f"{title}。\n\n已经两周，请尽快处理。", area="yunxi", place="文昌路 3 号"
            )
            for state, title in titles.items()
        }
        cases["reported"] = await ask(citizen, "举报机房夜间施工", "每晚十一点以后开工。", kind="report")
        for state in ("signed", "replied", "closed"):
            await act(officer, cases[state], "sign")
        for state in ("replied", "closed"):
            await act(
                officer, cases[state], "reply", outcome="solved", text="已检修，恢复正常。\n\nThank you."
            )
            await reaches(citizen, cases[state], "replied")
        await act(officer, cases["returned"], "return", reason="not_our_duty", text="电线杆归供电公司管理。")
        opinion = {"contacted": True, "solved": "yes", "rating": 5, "secret": cases["closed"].secret}
        await write(citizen, f"{INQUIRIES}/{cases['closed'].number}/evaluation", opinion)

        editor, approver = writing.request, approving.request
        content = {"summary": "怎样申请，多久办好。", "body": "第一段。\n\n第二段。", "topics": ["education"]}
        publications = {
            "draft": await publish(editor, approver, content | {"title": "关于宽带进小区的通知（草案）"}),
            "published": await publish(
                editor, approver, content | {"title": "老旧小区宽带改造办法"}, "approve", "publish"
            ),
            "withdrawn": await publish(
                editor, approver, content | {"title": "旧的资费办法"}, "approve", "publish", "withdraw"
            ),
        }
        for state in ("offered", "replied", "closed"):
            async with visitors.visit(CITIZEN) as follower:
                await follow(follower, cases[state])
                await visitors.remember(f"of {state}", follower)
    return Samples(**cases, **publications)


async def _json(answer: APIResponse) -> Json:
    assert answer.ok, f"{answer.url}: {answer.status} {await answer.text()}"
    content: Json = await answer.json()
    return content
