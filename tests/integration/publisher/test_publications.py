"""Publications over the API, the pages and the feeds."""

import datetime as dt
import json
import re
from xml.etree import ElementTree

import pytest

from tests.integration.publisher.conftest import API, START, TEXT, Running
from tests.paths import REPO

pytestmark = pytest.mark.integration
SCRIPT = "<script>alert(1)</script>"
ODD = f"{SCRIPT} & ]]> \x0b\x1f 💧 \u202eabc"


async def test_a_draft_is_approved_by_a_second_person_and_published(running: Running) -> None:
    identifier = await running.publish()
    names = ["publication.drafted", "publication.approved", "publication.published"]
    events = await running.events(identifier)
    assert [event["name"] for event in events] == names
    drafted, approved, published = events
    assert drafted["words"]["title"] == TEXT["title"]
    assert drafted["words"]["body"] == TEXT["body"]
    assert TEXT["title"] not in json.dumps(drafted["data"], ensure_ascii=False)
    assert drafted["data"]["editor"] == "person:editor-3"
    assert approved["data"] == {"version": 1, "approver": "person:approver-7"}
    assert published["data"]["topics"] == ["water-energy"]
    assert [event["sequence"] for event in events] == ["0000000001", "0000000002", "0000000003"]
    assert all(event["policyversion"].startswith("cn-city@") for event in events)
    answer = (await running.client.get(f"{API}/{identifier}")).json()
    assert answer["title"] == TEXT["title"]
    assert answer["state"] == "published"


async def test_the_editor_of_a_version_is_refused_with_the_rule_when_approving_it(running: Running) -> None:
    running.sign_in("both-1", "editor", "approver")
    identifier = (await running.post(API, TEXT)).json()["id"]
    refused = await running.post(f"{API}/{identifier}/approve", {"version": 1})
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    document = refused.json()
    assert document["type"] == "urn:civicloom:problem:rule-second-person"
    assert (document["state"], document["rule"]) == ("draft", "second_person")
    assert document["allowed"] == ["revise", "approve"]
    assert await running.names(identifier) == ["publication.drafted"]


async def test_a_changed_draft_loses_its_approval(running: Running) -> None:
    running.sign_in("editor-3", "editor")
    identifier = (await running.post(API, TEXT)).json()["id"]
    running.sign_in("approver-7", "approver")
    await running.post(f"{API}/{identifier}/approve", {"version": 1})
    running.sign_in("editor-3", "editor")
    changed = await running.put(f"{API}/{identifier}", TEXT | {"title": "改", "version": 1})
    assert changed.json()["version"] == 2
    assert changed.json()["state"] == "draft"
    running.sign_in("approver-7", "approver")
    for version in (1, 2):
        assert (await running.post(f"{API}/{identifier}/publish", {"version": version})).status_code == 409


async def test_a_correction_leaves_the_public_version_until_it_is_published(running: Running) -> None:
    identifier = await running.publish()
    running.sign_in("editor-3", "editor")
    await running.put(f"{API}/{identifier}", TEXT | {"title": "更正后的通知", "version": 1})
    running.sign_out()
    assert (await running.client.get(f"{API}/{identifier}")).json()["title"] == TEXT["title"]
    running.clock.moment = START + dt.timedelta(hours=2)
    running.sign_in("approver-7", "approver")
    for act in ("approve", "publish"):
        assert (await running.post(f"{API}/{identifier}/{act}", {"version": 2})).status_code == 200
    running.sign_out()
    answer = (await running.client.get(f"{API}/{identifier}")).json()
    assert answer["title"] == "更正后的通知"
    assert answer["published_at"] == "2026-11-24T01:30:00Z"
    assert answer["updated_at"] == "2026-11-24T03:30:00Z"


async def test_a_withdrawn_publication_leaves_lists_and_says_why_under_its_address(running: Running) -> None:
    identifier = await running.publish()
    running.sign_in("approver-7", "approver")
    body = {"version": 1, "reason": "金额有误"}
    assert (await running.post(f"{API}/{identifier}/withdraw", body)).status_code == 200
    running.sign_out()
    assert (await running.client.get(API)).json()["items"] == []
    page = await running.client.get(f"/policies/{identifier}")
    assert "金额有误" in page.text
    assert "已撤回" in page.text
    withdrawn = (await running.events(identifier))[-1]
    assert withdrawn["name"] == "publication.withdrawn"
    assert withdrawn["data"] == {"version": 1, "by": "person:approver-7"}
    assert withdrawn["words"]["text"] == "金额有误"


@pytest.mark.parametrize(
    ("path", "roles", "status"),
    [
        ("", (), 401),
        ("", ("approver",), 403),
        ("/{id}/approve", ("editor",), 403),
        ("/{id}/withdraw", ("editor",), 403),
    ],
)
async def test_each_act_belongs_to_a_role(
    running: Running, path: str, roles: tuple[str, ...], status: int
) -> None:
    running.sign_in("editor-3", "editor")
    identifier = (await running.post(API, TEXT)).json()["id"]
    running.sign_out()
    if roles:
        running.sign_in("u", *roles)
    answer = await running.post(API + path.format(id=identifier), TEXT | {"version": 1, "reason": "x"})
    assert answer.status_code == status


async def test_a_repeated_request_with_its_key_makes_one_draft_and_another_body_is_a_conflict(
    running: Running,
) -> None:
    running.sign_in("editor-3", "editor")
    first = await running.post(API, TEXT, key="one")
    second = await running.post(API, TEXT, key="one")
    assert first.json() == second.json()
    reused = await running.post(API, TEXT | {"title": "x"}, key="one")
    assert reused.status_code == 409
    assert reused.json()["type"].endswith(":key-reused")
    assert (await running.post(API, TEXT, key="k" * 255)).status_code == 201
    assert await running.database.pool.fetchval("SELECT count(*) FROM publication") == 2
    missing = await running.client.post(API, json=TEXT)
    assert missing.status_code == 400
    assert missing.json()["type"].endswith(":idempotency-key-needed")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"title": ""}, 422),
        ({"title": "x" * 201}, 422),
        ({"body": "x" * 20_001}, 422),
        ({"body": "a\0b"}, 422),
        ({"topics": ["all"]}, 422),
        ({"topics": ["住房"]}, 422),
        ({"effective_from": "2027-01-01T00:00:00"}, 422),
        ({"unknown": 1}, 422),
    ],
)
async def test_a_bad_draft_is_refused_and_stores_nothing(
    running: Running, change: dict[str, object], status: int
) -> None:
    running.sign_in("editor-3", "editor")
    answer = await running.post(API, TEXT | change)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["pointer"].startswith("/")
    assert await running.database.pool.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_unpublished_draft_is_seen_by_staff_alone(running: Running) -> None:
    running.sign_in("editor-3", "editor")
    identifier = (await running.post(API, TEXT)).json()["id"]
    assert (await running.client.get(f"{API}/{identifier}")).json()["newest"]["state"] == "draft"
    assert len((await running.client.get(f"{API}/drafts")).json()["items"]) == 1
    running.sign_out()
    for path in (f"{API}/{identifier}", f"/policies/{identifier}", f"{API}/no-such"):
        assert (await running.client.get(path)).status_code == 404
    assert (await running.client.get(f"{API}/drafts")).status_code == 401
    assert TEXT["title"] not in (await running.client.get("/")).text


async def test_the_second_page_of_a_list_goes_on_where_the_first_ended(running: Running) -> None:
    published = []
    for number in range(23):
        running.clock.moment = START + dt.timedelta(minutes=number // 2)  # some at the same moment
        published.append(await running.publish(title=f"通知 {number}"))
    first = await running.client.get("/policies")
    following = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert following
    second = await running.client.get(following[1].replace("&amp;", "&"))
    shown = [re.findall(r'href="/policies/([0-9a-f-]{36})"', page.text) for page in (first, second)]
    assert [len(page) for page in shown] == [20, 3]
    assert sorted(shown[0] + shown[1]) == sorted(published)
    assert 'rel="next"' not in second.text
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await running.client.get(API, params={"limit": 7, "cursor": cursor})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert sorted(seen) == sorted(published)
    assert (await running.client.get(API, params={"cursor": "bad"})).status_code == 400


async def test_pages_and_feeds_escape_what_an_editor_wrote(running: Running) -> None:
    identifier = await running.publish(title=ODD, summary=ODD, body=ODD, document_number=SCRIPT)
    for path in ("/", "/policies", f"/policies/{identifier}"):
        page = await running.client.get(path)
        assert page.status_code == 200
        assert SCRIPT not in page.text
        assert "&lt;script&gt;" in page.text
    running.sign_in("editor-3", "editor")
    for path in ("/publish", f"/publish/{identifier}", f"/publish/{identifier}/change"):
        assert SCRIPT not in (await running.client.get(path)).text
    atom = await running.client.get("/feeds/all.atom")
    assert atom.headers["content-type"].startswith("application/atom+xml")
    ElementTree.fromstring(atom.content)  # noqa: S314
    assert (await running.client.get("/feeds/all.json")).json()["items"][0]["title"] == ODD


async def test_a_feed_is_sent_again_only_when_it_changed_and_a_withdrawal_is_a_change(
    running: Running,
) -> None:
    identifier = await running.publish()
    for kind in ("atom", "json"):
        first = await running.client.get(f"/feeds/all.{kind}")
        assert first.status_code == 200
        same = await running.client.get(
            f"/feeds/all.{kind}", headers={"If-None-Match": first.headers["etag"]}
        )
        assert same.status_code == 304
        assert same.content == b""
    before = await running.client.get("/feeds/water-energy.atom")
    running.clock.moment = START + dt.timedelta(minutes=5)
    running.sign_in("approver-7", "approver")
    await running.post(f"{API}/{identifier}/withdraw", {"version": 1, "reason": "x"})
    known = {"If-None-Match": before.headers["etag"]}
    assert (await running.client.get("/feeds/water-energy.atom", headers=known)).status_code == 200
    assert (await running.client.get("/feeds/housing.atom")).status_code == 200
    assert (await running.client.get("/feeds/no-such.atom")).status_code == 404
    assert (await running.client.get("/feeds/all.rss")).status_code in (404, 422)


async def test_all_line_endings_are_stored_as_lf(running: Running) -> None:
    identifier = await running.publish(summary="一\r\n二", body="第一段\r\n\r\n第二段\r\n第二行\r末行")
    answer = (await running.client.get(f"{API}/{identifier}")).json()
    assert (answer["summary"], answer["body"]) == ("一\n二", "第一段\n\n第二段\n第二行\n末行")
    feed = (await running.client.get("/feeds/all.atom")).text
    assert "&lt;p&gt;第一段&lt;/p&gt;&lt;p&gt;第二段&lt;br&gt;第二行&lt;br&gt;末行&lt;/p&gt;" in feed
    running.sign_in("editor-3", "editor")
    long = {"title": "t", "body": "\r\n" * 19_000 + "x"}  # 19,001 characters, as a reader counts
    assert (await running.form("/publish/new", "/publish/new", **long)).status_code == 303


async def feed_updated(running: Running, topic: str) -> str:
    answer = await running.client.get(f"/feeds/{topic}.atom")
    root = ElementTree.fromstring(answer.content)  # noqa: S314
    return root.findtext("{http://www.w3.org/2005/Atom}updated", "")


async def test_a_feed_that_a_publication_leaves_by_a_correction_has_changed_then_and_not_later(
    running: Running,
) -> None:
    identifier = await running.publish(topics=["water-energy"])
    running.clock.moment = START + dt.timedelta(hours=1)
    await running.correct(identifier, topics=["housing"])
    assert (await running.client.get("/feeds/water-energy.json")).json()["items"] == []
    assert await feed_updated(running, "water-energy") == "2026-11-24T02:30:00+00:00"
    running.clock.moment = START + dt.timedelta(hours=2)
    await running.withdraw(identifier, version=2)
    assert await feed_updated(running, "water-energy") == "2026-11-24T02:30:00+00:00"
    for topic in ("housing", "all"):
        assert await feed_updated(running, topic) == "2026-11-24T03:30:00+00:00"


async def test_a_change_in_the_same_second_is_not_held_back(running: Running) -> None:
    first = await running.client.get("/feeds/all.atom")
    assert "last-modified" not in first.headers
    await running.publish()
    asked = {"If-Modified-Since": "Tue, 24 Nov 2026 01:30:00 GMT"}
    assert (await running.client.get("/feeds/all.atom", headers=asked)).status_code == 200


async def test_a_draft_that_was_never_public_changes_no_feed(running: Running) -> None:
    identifier = await running.publish(topics=["water-energy"])
    running.clock.moment = START + dt.timedelta(hours=1)
    running.sign_in("editor-3", "editor")
    await running.put(f"{API}/{identifier}", TEXT | {"topics": ["health"], "version": 1})
    for topic in ("water-energy", "all"):
        assert await feed_updated(running, topic) == "2026-11-24T01:30:00+00:00"
    assert await feed_updated(running, "health") == "2026-01-01T00:00:00+00:00"


async def test_an_editor_and_an_approver_do_it_all_at_the_desk(running: Running) -> None:
    running.sign_in("editor-3", "editor")
    fields = {"title": TEXT["title"], "body": TEXT["body"], "topics": ["housing", "water-energy"]}
    empty = await running.form(
        "/publish/new", "/publish/new", title="", body="正文在这里", topics=["housing"]
    )
    assert empty.status_code == 422
    assert "正文在这里" in empty.text
    assert 'value="housing" checked' in empty.text
    made = await running.form("/publish/new", "/publish/new", **fields, effective_on="2027-01-01")
    assert made.status_code == 303, made.text
    location = made.headers["location"]
    assert f'action="{location}/approve"' not in (await running.client.get(location)).text
    running.sign_in("approver-7", "approver")
    assert (await running.form(location, f"{location}/approve", version="1")).status_code == 303
    assert (await running.form(location, f"{location}/publish", version="1")).status_code == 303
    again = await running.form(location, f"{location}/withdraw", version="1", reason=" ")
    assert again.status_code == 422
    late = await running.form(location, f"{location}/publish", version="1")
    assert late.status_code == 409
    identifier = location.rpartition("/")[2]
    shown = (await running.client.get(f"{API}/{identifier}")).json()
    assert shown["effective_from"] == "2026-12-31T16:00:00Z"
    assert shown["topics"] == ["housing", "water-energy"]


async def test_a_button_and_a_form_that_are_sent_twice_act_once_and_answer_the_same(
    running: Running,
) -> None:
    running.sign_in("editor-3", "editor")
    identifier = (await running.post(API, TEXT)).json()["id"]
    location = f"/publish/{identifier}"
    fields = {"title": "改", "body": "正文", "version": "1", "idempotency_key": "change-1"}
    for _ in range(2):
        assert (await running.form(f"{location}/change", f"{location}/change", **fields)).status_code == 303
    other = await running.form(
        f"{location}/change", f"{location}/change", **fields | {"body": "后来写的正文"}
    )
    assert other.status_code == 409
    assert "后来写的正文" in other.text
    assert "change-1" not in other.text
    running.sign_in("approver-7", "approver")
    for act in ("approve", "publish", "withdraw"):
        sent = {"version": "2", "reason": "金额有误", "idempotency_key": f"{act}-1"}
        for _ in range(2):
            assert (await running.form(location, f"{location}/{act}", **sent)).status_code == 303
    changed = await running.form("/publish", f"{location}/withdraw", **sent | {"reason": "x"})
    assert changed.status_code == 409
    assert await running.names(identifier) == [
        *["publication.drafted"] * 2,
        "publication.approved",
        "publication.published",
        "publication.withdrawn",
    ]


async def test_a_new_draft_that_is_sent_again_with_other_content_is_not_lost(running: Running) -> None:
    running.sign_in("editor-3", "editor")
    first = {"title": "一", "body": "正文", "idempotency_key": "draft-1"}
    assert (await running.form("/publish/new", "/publish/new", **first)).status_code == 303
    again = await running.form("/publish/new", "/publish/new", **first | {"body": "后来写的正文"})
    assert again.status_code == 409
    assert "后来写的正文" in again.text
    assert "draft-1" not in again.text
    assert await running.database.pool.fetchval("SELECT count(*) FROM publication") == 1


async def test_what_an_editor_typed_survives_a_concurrent_change(running: Running) -> None:
    running.sign_in("editor-3", "editor")
    identifier = (await running.post(API, TEXT)).json()["id"]
    await running.put(f"{API}/{identifier}", TEXT | {"title": "别人的修改", "version": 1})
    location = f"/publish/{identifier}"
    lost = await running.form(
        f"{location}/change", f"{location}/change", title="我的修改", body="我写的正文", version="1"
    )
    assert lost.status_code == 409
    assert "我写的正文" in lost.text
    assert "我的修改" in lost.text


async def test_the_api_describes_itself(running: Running) -> None:
    document = (await running.client.get("/api/publisher/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    drafting = document["paths"][API]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(drafting["required"]) == {"title", "body"}
    assert "/publish" not in document["paths"]


async def test_the_tables_by_topic_say_what_the_versions_say(running: Running) -> None:
    moved = await running.publish(topics=["water-energy", "housing"])
    withdrawn = await running.publish(topics=["housing"])
    kept = await running.publish(topics=["housing"])
    await running.correct(moved, topics=["transport", "housing"])
    await running.withdraw(withdrawn, version=1)
    pool = running.database.pool
    rows = await pool.fetch("SELECT publication, topic FROM publication_topic")
    assert {tuple(row) for row in rows} == {(moved, "transport"), (moved, "housing"), (kept, "housing")}
    # As the migration fills them in an installation that has publications.
    script = (REPO / "services/publisher/migrations/0005_lists.sql").read_text()
    for table in ("publication_topic", "topic_change"):
        kept_by_triggers = await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        await pool.execute(f"TRUNCATE {table}")
        (fill,) = re.findall(rf"^INSERT INTO {table}\nSELECT.*?;", script, re.MULTILINE | re.DOTALL)
        await pool.execute(fill)
        assert await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") == kept_by_triggers
