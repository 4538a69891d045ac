"""The operations on figures: what is now, as a stream too, what was, what is wrong, how full everything
is.
"""

import asyncio

import msgspec
import pytest

from longline.center.figures import app_health, feed
from longline.center.figures.app_health import FEW
from longline.center.figures.feed import as_json
from longline.center.figures.history import MOST_NUMBERS
from longline.center.figures.shapes import FiguresView
from longline.center.requests import tick_streams
from longline.keeper.port import Node
from longline.model.figures import AboutPoints, FiguresNow, FiguresTold, Sample, TaskKind, packed
from longline.model.ledger import State
from longline.model.times import rfc3339, wall_clock
from longline.saver.port.inboxes import Fetch, Receipt
from longline.settings import CenterSettings
from tests.unit.center.conftest import Api
from tests.unit.center.events.test_streams import Stream
from tests.waiting import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "EVERY", 0.001)
    monkeypatch.setattr("longline.center.figures.figures.EVERY", 0.001)
    for name in ("HEARTBEAT", "LOOK_AGAIN"):
        monkeypatch.setattr(tick_streams, name, 0.01)


@pytest.fixture
def settings() -> CenterSettings:
    return CenterSettings(event_streams=2)


async def tell(api: Api, node: str = "n1", *points: float, **figures: float) -> None:
    """A process tells its figures, and points of `x`."""
    now = wall_clock()
    at = rfc3339(now)
    sample = Sample(node, "h1", ("room",), "1.0", at, at, figures, [TaskKind("t", 2, 1.5)])
    told = FiguresTold(life=f"{node}@1", sample=packed(sample))
    await api.saver.figures.tell(told)
    about = msgspec.json.encode(AboutPoints(node, "h1", ["x", "y_p99"]))
    for value in points:
        body = msgspec.json.encode([value])
        await api.saver.figures.tell(msgspec.structs.replace(told, about=about, fine=body, coarse=body))


async def test_what_all_processes_told_last_is_shown(api: Api) -> None:
    assert (await api.http.get("/v1/figures")).json()["nodes"] == []
    await tell(api, "n2", room_connections=7)
    await tell(api, "n1", loop_lag_seconds_p99=0.001)
    answer = await api.http.get("/v1/figures")
    found = msgspec.json.decode(answer.content, type=FiguresView)
    assert [(each.node, each.figures) for each in found.nodes] == [
        ("n1", {"loop_lag_seconds_p99": 0.001}),
        ("n2", {"room_connections": 7}),
    ]
    assert answer.json()["nodes"][0]["tasks"] == [{"name": "t", "count": 2, "oldest_seconds": 1.5}]


async def test_a_sample_has_the_form_that_is_documented(api: Api) -> None:
    """It is handed on as the process wrote it."""
    await tell(api, "n1", x=1)
    (shown,) = (await api.http.get("/v1/figures")).json()["nodes"]
    (field,) = (each for each in FiguresView.__struct_fields__ if each == "nodes")
    documented = msgspec.json.schema(FiguresView)["$defs"]["NodeFigures"]
    assert field
    assert set(shown) == set(documented["properties"]) == set(documented["required"])


async def test_who_asks_is_told_to_those_who_tell(api: Api) -> None:
    told = FiguresTold(life="n1@1", sample=b"{}")
    assert not (await api.saver.figures.tell(told)).watched
    await api.http.get("/v1/figures")
    assert (await api.saver.figures.tell(told)).watched


async def test_the_stream_says_again_and_again_what_is_now(api: Api) -> None:
    await tell(api, "n1", x=1)
    stream = Stream(api, path="/v1/figures")
    await until(lambda: stream.text.count("event: figures\n") > 3)
    assert stream.status == 200
    assert stream.text.startswith("retry: 1000\n\nevent: figures\ndata: {")
    assert '"figures":{"x":1}' in stream.text
    await tell(api, "n1", x=2)
    await until(lambda: '"figures":{"x":2}' in stream.text)
    await stream.leave()


async def test_one_look_at_the_store_serves_all_streams(api: Api) -> None:
    some = [Stream(api, path="/v1/figures") for _ in range(2)]
    await until(lambda: all(each.text.count("event: ") > 3 for each in some))
    for each in some:
        await each.leave()
    feed = api.center.figures
    await until(lambda: feed._task is None)


async def test_what_is_read_is_made_json_once_for_all_streams(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(now: FiguresNow) -> bytes:
        made.append(as_json(now))
        return made[-1]

    monkeypatch.setattr(feed, "as_json", counted)
    some = [Stream(api, path="/v1/figures") for _ in range(2)]
    await until(lambda: all(each.text.count("event: ") > 10 for each in some))
    assert len(made) < sum(each.text.count("event: ") for each in some)
    for each in some:
        await each.leave()


async def test_who_comes_when_looking_is_about_to_end_is_told(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, watch = api.center.figures, api.saver.figures.watch
    looks, late = 0, []

    async def watched() -> FiguresNow:
        nonlocal looks
        looks += 1
        if looks == 3:  # the last one: nobody has waited for it, nor for the one before
            asyncio.get_running_loop().call_soon(lambda: late.append(feed.next()))
        return await watch()

    monkeypatch.setattr(api.saver.figures, "watch", watched)
    await feed.next()
    await until(lambda: late)
    assert (await late[0]).startswith(b'{"at":')


async def test_there_are_only_so_many_streams(api: Api) -> None:
    some = [Stream(api, path="/v1/figures") for _ in range(2)]
    await until(lambda: all(each.text for each in some))
    refused = Stream(api, path="/v1/figures")
    await refused.task
    assert refused.status == 429
    for each in some:
        await each.leave()
    assert api.center.counters.event_streams == 0


async def test_a_stream_ends_when_its_key_is_revoked(api: Api) -> None:
    asked = {"name": "screen", "scopes": ["operate"]}
    made = (await api.http.post("/v1/keys", json=asked)).json()
    stream = Stream(api, path="/v1/figures", key=made["key"])
    await until(lambda: stream.text.count("event: figures") > 1)
    assert (await api.http.delete(f"/v1/keys/{made['key_id']}")).status_code == 204
    await until(lambda: stream.over)
    assert '"code":"unauthorized"' in stream.text
    await stream.task


async def test_a_stream_ends_with_the_process(api: Api) -> None:
    stream = Stream(api, path="/v1/figures")
    await until(lambda: stream.text)
    api.ready = False
    await until(lambda: stream.over)
    await stream.task


@pytest.mark.parametrize("path", ["figures", "figures/history", "problems", "capacity"])
async def test_an_apps_key_sees_nothing_of_the_cluster(api: Api, news: str, path: str) -> None:
    own = {"Authorization": f"Bearer {api.keys['news']}"}
    assert (await api.http.get(f"/v1/{path}", headers=own)).status_code == 403


async def test_history_has_the_points_of_each_process(api: Api) -> None:
    api.now = wall_clock()
    await tell(api, "n1", 1, 2)
    await tell(api, "n2", 5)
    api.now = wall_clock() + 1
    answer = (await api.http.get("/v1/figures/history", params={"names": "x,y_p99,z"})).json()
    assert answer["step"] == 10
    assert [(each["node"], each["host"], each["figures"]) for each in answer["nodes"]] == [
        ("n1", "h1", {"x": [1, 2], "y_p99": [None, None]}),
        ("n2", "h1", {"x": [5], "y_p99": [None]}),
    ]
    assert [len(each["at"]) for each in answer["nodes"]] == [2, 1]
    (only,) = (await api.http.get("/v1/figures/history", params={"names": "x", "node": "n2"})).json()["nodes"]
    assert only["node"] == "n2"


async def test_history_of_long_ago_is_coarse(api: Api) -> None:
    api.now = wall_clock()
    await tell(api, "n1", 1, 2)
    api.now = wall_clock() + 1
    query = {"names": "x", "from": rfc3339(api.now - 86_400_000)}
    answer = (await api.http.get("/v1/figures/history", params=query)).json()
    assert answer["step"] == 300
    assert answer["nodes"][0]["figures"] == {"x": [1, 2]}
    query["from"] = rfc3339(api.now - 30 * 86_400_000)
    longer = (await api.http.get("/v1/figures/history", params=query)).json()
    assert longer["step"] > 300


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"names": ",".join(f"n{n}" for n in range(101))}, "names"),
        ({"from": "yesterday"}, "from"),
    ],
)
async def test_what_cannot_be_is_refused(api: Api, query: dict[str, str], field: str) -> None:
    answer = await api.http.get("/v1/figures/history", params=query)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == field


async def test_an_answer_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.center.figures.history.MOST_NUMBERS", 3)
    api.now = wall_clock() + 1000
    await tell(api, "n1", 1, 2)
    answer = await api.http.get("/v1/figures/history", params={"names": "x,y_p99"})
    assert answer.status_code == 422
    assert MOST_NUMBERS > 3


async def test_problems_are_told_with_what_to_do(api: Api) -> None:
    assert (await api.http.get("/v1/problems")).json() == {"problems": []}
    api.center.app_healths._looked_at = float("-inf")
    await tell(api, "n1", room_tls_certificate_seconds=3600)

    async def found() -> list[dict[str, str]]:
        problems: list[dict[str, str]] = (await api.http.get("/v1/problems")).json()["problems"]
        return problems

    (problem,) = await until(found)
    assert problem["code"] == "certificate_running_out"
    assert problem["severity"] == "critical"
    assert problem["node"] == "n1"
    assert problem["hint"]


CONDITIONS: dict[str, list[dict[str, object]]] = {
    "versions_differ": [{}, {"version": "1.1"}],
    "clocks_apart": [{}, {"ahead": 60_000}],
    "bound_near": [{"room_connections": 99, "bound_room_connections": 100}],
    "store_evicts": [{"store_evicting": 1}],
    "store_forgets": [{"store_forgetful": 1}],
    "certificate_running_out": [{"room_tls_certificate_seconds": 86_400}],
    "rooms_uneven": [{"room_connections": 5000}, {"room_connections": 100}],
    "tasks_growing": [{"tasks_growing{center.request}": 100}],
    "task_stuck": [{"tasks_stuck{node.membership}": 100}],
}


@pytest.mark.parametrize("code", CONDITIONS)
async def test_what_is_so_on_a_cluster_is_told(api: Api, code: str) -> None:
    """Its processes are members, and tell what makes it so."""
    now = wall_clock()
    for place, told in enumerate(CONDITIONS[code]):
        node, figures = f"n{place}", {"tasks": 1.0}
        figures |= {name: value for name, value in told.items() if isinstance(value, (int, float))}
        ahead = int(figures.pop("ahead", 0))
        version = str(told.get("version", "1.0"))
        await api.keeper.join(Node(node=node, roles=("room",), addresses={}, since=now, version=version))
        sample = Sample(node, node, ("room",), version, rfc3339(now), rfc3339(now + ahead), figures, [])
        await api.saver.figures.tell(FiguresTold(life=f"{node}@1", sample=packed(sample)))
    found = (await api.http.get("/v1/problems")).json()["problems"]
    assert [each["code"] for each in found] == [code]


async def test_an_app_whose_inboxes_only_grow_is_told(api: Api, news: str) -> None:
    """Nobody takes anything: much waits. Once enough is taken, it is well again."""
    names = [f"d{n}" for n in range(FEW)]
    asked = {"devices": [{"device": name} for name in names]}
    assert (await api.http.post(f"{news}/devices:batch", json=asked)).status_code == 200
    message = {"audience": {"devices": names}, "payload": "x"}
    sent = await api.http.post(f"{news}/messages", json=message)
    assert sent.status_code == 202
    (problem,) = await api.center.app_healths.problems()
    assert (problem.code, problem.app) == ("inboxes_grow", "news")
    (shown,) = (await api.http.get("/v1/problems")).json()["problems"]
    assert shown["app"] == "news"

    app = await api.saver.apps.find("news")
    assert app is not None
    await take(api, app.number, 5)
    api.center.app_healths._looked_at = float("-inf")
    assert await api.center.app_healths.problems() == []


async def take(api: Api, app: int, count: int) -> None:
    """So many devices acknowledge what waits for them."""
    for ordinal in range(count):
        (page,) = await api.saver.inboxes.fetch([Fetch(app, ordinal, 0, 0, 10, api.now)])
        receipts = [
            Receipt(
                app=app,
                ordinal=ordinal,
                position=push.position,
                broadcast=push.broadcast,
                state=State.ACKED,
                at=api.now,
            )
            for push in page.pushes
        ]
        await api.saver.inboxes.settle(receipts)


async def test_capacity_is_told_by_process(api: Api) -> None:
    await tell(api, "n1", room_connections=30, bound_room_connections=40)
    (bound,) = (await api.http.get("/v1/capacity")).json()["bounds"]
    assert bound == {
        "name": "room_connections",
        "node": "n1",
        "host": "h1",
        "used": 30,
        "limit": 40,
        "share": 0.75,
        "growth_per_day": None,
        "full_at": None,
    }


async def test_an_app_is_told_how_it_fares_by_its_own_key(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.device(news, "d2")
    await api.connect("news", "d1")
    message = {"audience": {"devices": ["d1", "d2"]}, "payload": "x"}
    assert (await api.http.post(f"{news}/messages", json=message)).status_code == 202
    own = {"Authorization": f"Bearer {api.keys['news']}"}
    found = (await api.http.get(f"{news}/figures", headers=own)).json()
    assert found["connected"] == 1
    assert (found["messages"], found["deliveries"]) == (1, 0)
    assert found["waiting"] == {"deliveries": 2, "messages": 1}
    assert found["messages_per_second"] is None


async def test_rates_of_an_app_are_those_of_late(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_health, "READ_EVERY", 0.0)
    now = 100.0
    healths = api.center.app_healths
    healths._monotonic = lambda: now
    await api.device(news, "d1")
    await api.http.get(f"{news}/figures")
    message = {"audience": "all", "payload": "x"}
    for _ in range(5):
        assert (await api.http.post(f"{news}/messages", json=message)).status_code == 202
    now += 10
    assert (await api.http.get(f"{news}/figures")).json()["messages_per_second"] == 0.5
    now += 10
    assert (await api.http.get(f"{news}/figures")).json()["messages_per_second"] == 0


async def test_an_app_has_a_stream_of_its_own(api: Api, news: str) -> None:
    stream = Stream(api, path="/v1/apps/news/figures", key=api.keys["news"])
    await until(lambda: stream.text.count("event: figures\n") > 2)
    assert '"connected":0' in stream.text
    assert (await api.http.delete(news)).status_code == 204
    await until(lambda: stream.over)
    await stream.task
