"""The two desks: what they show, what a form does, and that nothing typed becomes markup."""

import re

import httpx
import pytest

from harness.fixed_clock import FixedClock
from services.routing.http import dispatch
from shared.contracts.inquiry import InquiryReplied, InquiryRequestRefused, InquiryWords
from tests.integration.routing import conftest
from tests.integration.routing.conftest import DUE, NOW, SignIn, World, hidden

pytestmark = pytest.mark.integration
LEAD = "urban-management"
SCRIPT = "<script>alert(1)</script>"


async def send(client: httpx.AsyncClient, page: str, address: str, **fields: str) -> httpx.Response:
    """Sends a form as a browser would that has opened `page`."""
    html = (await client.get(page)).text
    form = {"csrf": hidden(html, "csrf"), "idempotency_key": hidden(html, "idempotency_key"), **fields}
    return await client.post(address, data=form)


async def test_the_desk_of_a_unit_without_cases_explains_what_it_will_show(
    world: World, sign_in: SignIn
) -> None:
    page = await sign_in("officer", unit=LEAD).get("/desk")
    assert page.status_code == 200
    assert "没有待办工单" in page.text
    assert "No cases to do" in (await sign_in("officer", unit=LEAD).get("/desk?lang=en")).text


async def test_the_head_of_a_page_names_the_officers_unit_in_the_readers_language(sign_in: SignIn) -> None:
    head = re.compile(r'<span class="name">李经办 <span class="unit">(.*?)</span>')
    found = [
        head.search((await sign_in("officer", unit=unit).get(f"/desk?lang={language}")).text)
        for unit, language in ((LEAD, "zh"), (LEAD, "en"), ("abolished", "zh"))
    ]
    assert [one and one[1] for one in found] == ["市城市管理局", "City Urban Management Bureau", "abolished"]


async def test_a_stranger_is_sent_to_sign_in_and_comes_back(sign_in: SignIn) -> None:
    response = await sign_in().get("/desk", headers={"Accept": "text/html"})
    assert response.status_code in (302, 303, 307)
    assert response.headers["location"] == "/login?next=%2Fdesk"


async def test_an_officer_signs_replies_and_sees_the_answer(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    officer = sign_in("officer", unit=LEAD)
    case = f"/desk/cases/{subject}"
    signed = await send(officer, case, f"{case}/sign")
    assert (signed.status_code, signed.headers["location"]) == (303, f"{case}?after=2")
    replied = await send(officer, case, f"{case}/reply", outcome="solved", text="已更换灯泡。")
    assert replied.status_code == 303
    assert "正在等待确认" in (await officer.get(case)).text
    proposal = (await world.emitted(about=subject))[-1].id
    facts = InquiryReplied(unit=LEAD, outcome="solved", cycle=1, on_time=True, evaluate_until=DUE)
    await world.take(world.fact(subject, facts, causation=proposal))
    page = (await officer.get(replied.headers["location"])).text
    assert "已答复" in page
    assert "已签收" not in page
    assert subject not in (await officer.get("/desk")).text
    assert subject in (await officer.get("/desk?state=replied")).text


async def test_an_officer_whose_reply_is_refused_finds_why_until_the_next_action(
    world: World, sign_in: SignIn
) -> None:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign")
    officer = sign_in("officer", unit=LEAD)
    case = f"/desk/cases/{subject}"
    await send(officer, case, f"{case}/reply", outcome="solved", text="已更换灯泡。")
    proposal = (await world.emitted(about=subject))[-1].id
    refused = InquiryRequestRefused(state="accepted", rule="reply_to_a_dispatched_case")
    await world.take(world.fact(subject, refused, causation=proposal))
    page = (await officer.get(case)).text
    assert "答复未被采纳" in page
    assert "工单目前的状态不能答复" in page
    assert "答复未被采纳" in (await officer.get("/desk")).text
    api = f"/api/routing/v1/cases/{subject}"
    assert (await officer.get(api)).json()["reply_refused"] == "reply_to_a_dispatched_case"
    await send(officer, case, f"{case}/reply", outcome="solved", text="已更换灯泡，见照片。")
    assert "答复未被采纳" not in (await officer.get(case)).text
    assert (await officer.get(api)).json()["reply_refused"] is None


async def test_the_desk_shows_the_time_left_as_the_clock_of_the_case_counts_it(
    world: World, sign_in: SignIn
) -> None:
    subject, urgent = await world.dispatched(), await world.dispatched(urgent=True)
    officer = sign_in("officer", unit=LEAD)
    assert "还剩 5 个工作日" in (await officer.get("/desk")).text
    case = (await officer.get(f"/desk/cases/{subject}")).text
    assert "还剩 13 个工作小时" in case  # to sign: by the end of the next working day
    assert "2026年12月1日 17:30（UTC+8）" in case
    assert "还剩 30 分钟" in (await officer.get(f"/desk/cases/{urgent}")).text
    assert "还剩 5 个工作日" in (await sign_in("dispatcher").get(f"/dispatch/cases/{subject}")).text
    world.database.clock = FixedClock(NOW.replace(month=12, day=4))
    assert "超期 2 个工作日" in (await officer.get("/desk")).text
    closed = InquiryReplied(unit=LEAD, outcome="solved", cycle=1, on_time=False, evaluate_until=DUE)
    await world.take(world.fact(subject, closed))
    assert "超期" not in (await officer.get("/desk?state=replied")).text


async def test_a_form_sent_twice_acts_once(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    officer = sign_in("officer", unit=LEAD)
    html = (await officer.get(f"/desk/cases/{subject}")).text
    form = {"csrf": hidden(html, "csrf"), "idempotency_key": hidden(html, "idempotency_key")}
    for _ in range(2):
        response = await officer.post(f"/desk/cases/{subject}/sign", data=form)
        assert response.status_code == 303
    assert await world.types(about=subject) == ["case.dispatched", "assignment.signed"]


async def test_a_form_that_fails_shows_what_was_typed_and_leads_to_the_field(
    world: World, sign_in: SignIn
) -> None:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "sign")
    officer = sign_in("officer", unit=LEAD)
    case = f"/desk/cases/{subject}"
    response = await send(officer, case, f"{case}/reply", text="写了一半")
    assert response.status_code == 422
    assert 'href="#outcome"' in response.text
    assert "写了一半" in response.text
    returned = await send(officer, case, f"{case}/return", reason="not_our_area", text=" ")
    assert returned.status_code == 422
    assert 'href="#text"' in returned.text
    assert returned.text.count('id="text"') == 1


async def test_an_action_that_came_too_late_shows_the_reason(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    officer = sign_in("officer", unit=LEAD)
    case = f"/desk/cases/{subject}"
    html = (await officer.get(case)).text
    await world.act(LEAD, subject, "sign")
    form = {"csrf": hidden(html, "csrf"), "idempotency_key": hidden(html, "idempotency_key")}
    response = await officer.post(f"{case}/sign", data=form)
    assert response.status_code == 409
    assert "已经签收" in response.text


async def test_a_form_of_another_site_is_refused(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    response = await sign_in("officer", unit=LEAD).post(
        f"/desk/cases/{subject}/sign", data={"idempotency_key": "k"}
    )
    assert response.status_code == 403
    assert await world.state(subject) == "offered"


async def test_an_officer_sees_no_case_of_another_department(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    officer = sign_in("officer", unit="water")
    assert (await officer.get(f"/desk/cases/{subject}")).status_code == 403
    assert (await officer.get(f"/desk?unit={LEAD}")).status_code == 403
    assert subject not in (await officer.get("/desk")).text


async def test_only_holders_of_a_case_find_the_link_to_the_contact(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    officer, oversight = sign_in("officer", unit=LEAD), sign_in("oversight")
    case = f"/desk/cases/{subject}"
    number = (await officer.get(f"/api/routing/v1/cases/{subject}")).json()["number"]
    link = f'href="/clerk/{number}/contact"'
    assert link in (await officer.get(case)).text
    assert link not in (await oversight.get(f"{case}?unit={LEAD}")).text
    await world.act(LEAD, subject, "return", reason="not_our_area", text="属邻区")
    assert link not in (await officer.get(case)).text


async def test_oversight_reads_any_desk_and_acts_at_none(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    oversight = sign_in("oversight")
    page = await oversight.get(f"/desk/cases/{subject}?unit={LEAD}")
    assert page.status_code == 200
    assert f'<option value="{LEAD}" selected>' in page.text
    assert f"/desk/cases/{subject}/sign" not in page.text


async def test_a_dispatcher_dispatches_a_case_and_sees_the_queue_again(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched(service_code="no-such-service", hint="water")
    dispatcher = sign_in("dispatcher")
    waiting = (await dispatcher.get("/dispatch")).text
    assert subject in waiting
    assert "答复时限：还剩 5 个工作日" in waiting
    case = f"/dispatch/cases/{subject}"
    assert '<option value="water" selected>' in (await dispatcher.get(case)).text
    twice = await send(dispatcher, case, case, lead="water", co="water")
    assert twice.status_code == 422
    assert "每个单位只能选择一次" in twice.text
    assert twice.text.count('<option value="water" selected>') == 2
    placed = await send(dispatcher, case, case, lead="water", co="telecom")
    assert placed.status_code == 303
    queue = await dispatcher.get(placed.headers["location"])
    assert "没有待派单的工单" in queue.text
    assert "市水务集团" in queue.text


async def test_a_dispatcher_keeps_the_place_in_the_queue(
    world: World, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "ROWS", 2)
    subjects = sorted([await world.dispatched(service_code="no-such-service") for _ in range(5)])
    dispatcher = sign_in("dispatcher")

    def rows(page: httpx.Response) -> list[str]:
        return re.findall(r'data-row><a href="([^"]+)"', page.text)

    first = await dispatcher.get("/dispatch")
    second = re.search(r'rel="next" href="(/dispatch([^"]+))"', first.text)
    assert second is not None
    listed = rows(await dispatcher.get(second[1]))
    assert listed == [f"/dispatch/cases/{subject}{second[2]}" for subject in subjects[2:4]]
    assert rows(await dispatcher.get(listed[0])) == listed
    failed = await send(dispatcher, listed[0], listed[0])
    assert (failed.status_code, rows(failed)) == (422, listed)
    assert f'action="{listed[0]}"' in failed.text
    placed = await send(dispatcher, listed[0], listed[0], lead="water")
    after = [f"/dispatch/cases/{subject}{second[2]}" for subject in subjects[3:5]]
    assert rows(await dispatcher.get(placed.headers["location"])) == after


async def test_a_dispatcher_reads_why_a_lead_returned_a_case(world: World, sign_in: SignIn) -> None:
    subject = await world.dispatched()
    await world.act(LEAD, subject, "return", reason="overlapping_duty", text="应由区里办理")
    page = (await sign_in("dispatcher").get(f"/dispatch/cases/{subject}")).text
    assert "职能交叉" in page
    assert "应由区里办理" in page


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_nothing_that_anybody_wrote_becomes_markup(
    world: World, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setattr(conftest, "WORDS", InquiryWords(title=SCRIPT, text=SCRIPT, place=SCRIPT))
    placed = await world.dispatched(area=SCRIPT)
    await world.act(LEAD, placed, "return", reason="not_our_area", text=SCRIPT)
    held = await world.dispatched(area=SCRIPT)
    await world.act(LEAD, held, "sign")
    officer, dispatcher = sign_in("officer", unit=LEAD), sign_in("dispatcher")
    pages = [
        await officer.get(f"/desk/cases/{held}", params={"lang": language, "q": "alert"}),
        await officer.get("/desk", params={"lang": language, "q": SCRIPT}),
        await dispatcher.get(f"/dispatch/cases/{placed}", params={"lang": language}),
        await dispatcher.get("/dispatch", params={"lang": language, "placed": SCRIPT, "lead": SCRIPT}),
        await send(officer, f"/desk/cases/{held}", f"/desk/cases/{held}/reply", text=SCRIPT, outcome=SCRIPT),
    ]
    for page in pages:
        assert page.status_code in (200, 422)
        assert "alert(1)" in page.text
        assert SCRIPT not in page.text
