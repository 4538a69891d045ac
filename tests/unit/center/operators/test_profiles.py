"""Profiles through the API: what nodes are ordered to do, and those that are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest

from longline.center.operators import profiles
from longline.center.operators.profile_orders import ORDERS, OUTCOMES, ProfileOrder, ProfileOutcome, order_in
from longline.delivery.ids import MessageIds
from longline.keeper.port import Node
from longline.model.profiles import ProcessProfile, ProfileHead, ProfileKind
from longline.profiling.content import Content, CpuContent, Stack, TaskContent, TasksOfKind, pack
from tests.unit.center.conftest import START, Api
from tests.waiting import until

TAKE = "/v1/nodes/room-1/profile"
CONTENT = TaskContent(kinds=[TasksOfKind("node.files", 1, 2.5, "run (app.py:3)")])
IDS = MessageIds()


@pytest.fixture(autouse=True)
async def member(api: Api) -> None:
    await api.keeper.join(Node(node="room-1", roles=("room",), addresses={}, since=START, version="1"))


def cpu(**stacks: int) -> CpuContent:
    return CpuContent(
        samples=sum(stacks.values()),
        rate=20,
        native=True,
        by="py-spy",
        stacks=[Stack([f"{name} (app.py:9)"], count) for name, count in stacks.items()],
    )


async def keep(
    api: Api, content: Content = CONTENT, *, id: str = "", node: str = "room-1", kind: ProfileKind = "tasks"
) -> str:
    """Puts a profile into the store, as its node would; its id."""
    api.now += 1000
    packed = pack(content)
    head = ProfileHead(
        id=id or IDS.make(api.now),
        node=node,
        host="host-1",
        version="0.1.0",
        kind=kind,
        at=api.now,
        seconds=2.5,
        size=len(packed),
    )
    await api.saver.profiles.put(ProcessProfile(head, packed))
    return head.id


@asynccontextmanager
async def obeying(api: Api, code: str = "") -> AsyncIterator[list[ProfileOrder]]:
    """A node that does what it is ordered to, or tells of an error; the orders that it got."""
    orders: list[ProfileOrder] = []

    async def obey() -> None:
        while True:
            kept = await api.keeper.read(ORDERS + "room-1")
            order = order_in(kept)
            if order is not None and order not in orders:
                orders.append(order)
                if not code:
                    await keep(api, id=order.id)
                outcome = ProfileOutcome(id=order.id, code=code, message="so" if code else "")
                await api.keeper.write(OUTCOMES + "room-1", msgspec.json.encode(outcome))
                await api.keeper.write(ORDERS + "room-1", None)
            await asyncio.sleep(0)

    task = asyncio.create_task(obey())
    try:
        yield orders
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_node_is_ordered_to_take_one_and_it_is_answered(api: Api) -> None:
    async with obeying(api) as orders:
        answer = await api.http.get(TAKE, params={"kind": "tasks", "seconds": 3})
    (order,) = orders
    assert (order.kind, order.seconds, order.requested_at) == ("tasks", 3, START)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["profile"] == order.id
    assert told["content"] == msgspec.to_builtins(CONTENT)
    assert {name: told[name] for name in ("node", "host", "version", "kind", "seconds")} == {
        "node": "room-1",
        "host": "host-1",
        "version": "0.1.0",
        "kind": "tasks",
        "seconds": 2.5,
    }
    again = await api.http.get(f"/v1/profiles/{order.id}")
    assert again.json() == told


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [("profile_under_way", 409, "profile_under_way"), ("oops", 503, "profile_failed")],
)
async def test_what_goes_wrong_in_the_node_is_answered(api: Api, told: str, status: int, code: str) -> None:
    async with obeying(api, told):
        answer = await api.http.get(TAKE, params={"kind": "heap"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_node_that_does_nothing_is_not_waited_for_and_loses_its_order(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "PATIENCE", 0.0)
    answer = await api.http.get(TAKE, params={"kind": "cpu", "seconds": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "node_silent")
    assert await api.keeper.read(ORDERS + "room-1") is None


async def test_a_node_that_goes_meanwhile_is_not_waited_for(api: Api) -> None:
    asking = asyncio.create_task(api.http.get(TAKE, params={"kind": "cpu", "seconds": 60}))
    await until(lambda: api.keeper.read(ORDERS + "room-1"))
    await api.keeper.leave("room-1")
    answer = await asking
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "node_silent")


async def test_a_node_has_one_order_at_a_time(api: Api) -> None:
    asking = asyncio.create_task(api.http.get(TAKE, params={"kind": "cpu", "seconds": 1}))
    await until(lambda: api.keeper.read(ORDERS + "room-1"))
    refused = await api.http.get(TAKE, params={"kind": "tasks"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "profile_under_way")
    async with obeying(api):
        assert (await asking).status_code == 200
        assert (await api.http.get(TAKE, params={"kind": "tasks"})).status_code == 200


async def test_an_order_whose_outcome_is_told_is_over(api: Api) -> None:
    """Though the node has not taken it away yet: whoever has an answer may ask for the next one."""
    order = ProfileOrder(id="x", kind="cpu", seconds=5, requested_at=START)
    await api.keeper.write(ORDERS + "room-1", msgspec.json.encode(order))
    await api.keeper.write(OUTCOMES + "room-1", msgspec.json.encode(ProfileOutcome(id="x")))
    asking = asyncio.create_task(api.http.get(TAKE, params={"kind": "tasks"}))

    async def replaced() -> bool:
        placed = order_in(await api.keeper.read(ORDERS + "room-1"))
        return placed is not None and placed.id != "x"

    await until(replaced)
    async with obeying(api):
        assert (await asking).status_code == 200


async def test_a_profile_is_found_though_word_of_the_next_came_before_anybody_looked(api: Api) -> None:
    asking = asyncio.create_task(api.http.get(TAKE, params={"kind": "tasks"}))
    placed = order_in(await until(lambda: api.keeper.read(ORDERS + "room-1")))
    assert placed is not None
    await keep(api, id=placed.id)
    other = ProfileOrder(id="other", kind="cpu", seconds=5, requested_at=START)
    await api.keeper.write(OUTCOMES + "room-1", msgspec.json.encode(ProfileOutcome(id="another")))
    await api.keeper.write(ORDERS + "room-1", msgspec.json.encode(other))
    answer = await asking
    assert (answer.status_code, answer.json()["profile"]) == (200, placed.id)


async def test_an_order_that_nobody_takes_back_is_replaced_when_its_time_is_over(api: Api) -> None:
    order = ProfileOrder(id="x", kind="cpu", seconds=5, requested_at=START)
    await api.keeper.write(ORDERS + "room-1", msgspec.json.encode(order))
    assert (await api.http.get(TAKE, params={"kind": "tasks"})).status_code == 409
    api.now = START + 1000 * (5 + int(profiles.PATIENCE))
    async with obeying(api):
        assert (await api.http.get(TAKE, params={"kind": "tasks"})).status_code == 200


async def test_what_nodes_left_that_are_no_more_is_forgotten(api: Api) -> None:
    for key in (ORDERS + "gone", OUTCOMES + "gone"):
        await api.keeper.write(key, b"{}")
    async with obeying(api):
        await api.http.get(TAKE, params={"kind": "tasks"})
    assert await api.keeper.read(ORDERS + "gone") is None
    assert await api.keeper.read(OUTCOMES + "gone") is None


@pytest.mark.parametrize(
    "query", [{}, {"kind": "x"}, {"kind": "cpu", "seconds": 0}, {"kind": "cpu", "seconds": 61}]
)
async def test_what_cannot_be_taken_is_refused_before_anybody_is_ordered(
    api: Api, query: dict[str, str | int]
) -> None:
    answer = await api.http.get(TAKE, params=query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert await api.keeper.read(ORDERS + "room-1") is None


async def test_a_node_that_is_none_is_not_found(api: Api) -> None:
    answer = await api.http.get("/v1/nodes/room-2/profile", params={"kind": "cpu"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "node_not_found")


async def listed(api: Api, **query: str | int) -> list[str]:
    answer: httpx.Response = await api.http.get("/v1/profiles", params=query)
    assert answer.status_code == 200, answer.text
    return [each["profile"] for each in answer.json()["profiles"]]


async def test_those_that_are_kept_are_listed_page_by_page(api: Api) -> None:
    ids = [await keep(api), await keep(api, node="room-2"), await keep(api, cpu(a=1), kind="cpu")]
    assert await listed(api) == ids[::-1]
    assert await listed(api, node="room-1") == [ids[2], ids[0]]
    assert await listed(api, kind="tasks") == [ids[1], ids[0]]
    assert await listed(api, **{"from": "2027-01-15T08:00:02Z"}) == [ids[2], ids[1]]
    assert await listed(api, to="2027-01-15T08:00:02Z") == [ids[0]]
    first = (await api.http.get("/v1/profiles", params={"limit": 2})).json()
    assert [each["profile"] for each in first["profiles"]] == [ids[2], ids[1]]
    assert "content" not in first["profiles"][0]
    assert await listed(api, limit=2, cursor=first["next_cursor"]) == [ids[0]]


async def test_one_is_downloaded_for_other_tools(api: Api) -> None:
    id = await keep(api, cpu(a=1), kind="cpu")
    scope = await api.http.get(f"/v1/profiles/{id}", params={"format": "speedscope"})
    assert scope.headers["content-type"] == "application/vnd.speedscope+json"
    assert scope.json()["shared"]["frames"] == [{"name": "a", "file": "app.py", "line": 9}]
    pprof = await api.http.get(f"/v1/profiles/{id}", params={"format": "pprof"})
    assert pprof.content.startswith(b"\x1f\x8b")
    assert f'filename="room-1-cpu-{id}.pb.gz"' in pprof.headers["content-disposition"]


async def test_two_are_compared(api: Api) -> None:
    base = await keep(api, cpu(a=1), kind="cpu")
    later = await keep(api, cpu(a=1, slow=3), node="room-2", kind="cpu")
    told = (await api.http.get(f"/v1/profiles/{later}/difference", params={"base": base})).json()
    assert (told["base"]["profile"], told["profile"]["profile"]) == (base, later)
    assert told["frames"][0] == {
        "frame": "slow (app.py)",
        "base_share": 0.0,
        "share": 0.75,
        "change": 0.75,
        "place": "slow (app.py:9)",
    }
    other = await keep(api)
    refused = await api.http.get(f"/v1/profiles/{later}/difference", params={"base": other})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "profiles_differ")


async def test_one_that_is_deleted_is_gone_and_the_audit_log_has_who_did_it(api: Api) -> None:
    id = await keep(api)
    assert (await api.http.delete(f"/v1/profiles/{id}")).status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", f"/difference?base={id}")):
        answer = await api.http.request(method, f"/v1/profiles/{id}{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "profile_not_found")
    changes = (await api.http.get("/v1/audit")).json()["changes"]
    assert ("DELETE", "/v1/profiles/{profile}", 204) in [
        (each["method"], each["path"], each["status"]) for each in changes
    ]


async def test_what_another_version_wrote_is_said_to_be_so(api: Api) -> None:
    head = ProfileHead(
        id=IDS.make(api.now), node="n", host="h", version="9", kind="cpu", at=START, seconds=1.0, size=1
    )
    await api.saver.profiles.put(ProcessProfile(head, b"?"))
    answer = await api.http.get(f"/v1/profiles/{head.id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "profile_unreadable")
