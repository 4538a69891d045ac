"""Agents through the API: what they tell, and orders to restart processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from longline.center.operators import agents
from longline.center.operators.agent_orders import ORDERS, STATUSES, order_in
from longline.errors import NothingToCancel, RestartUnderWay
from longline.keeper.port import AGENT, Node
from longline.model.agents import (
    ORDER_TTL,
    AgentOrder,
    AgentStatus,
    OrderAnswer,
    ProcessExit,
    ProcessStatus,
    RestartStatus,
)
from tests.unit.center.conftest import START, Api
from tests.waiting import eventually, until

MEMBER = "agent-host-1-aaaa0000"
RESTART = "/v1/agents/host-1:restart"
CANCEL = "/v1/agents/host-1:cancel"
PROCESSES = (
    ProcessStatus("store", None, 7, "ready", 0, START),
    ProcessStatus("room", "room-1", 8, "ready", 1, START, ProcessExit(START, "SIGKILL")),
    ProcessStatus("center+dispatcher", None, 0, "pausing", 3),
)
STATUS = AgentStatus(
    agent="host-1", member=MEMBER, version="0.1.0", since=START, told_at=START, processes=PROCESSES
)


async def tell(api: Api, status: AgentStatus = STATUS) -> None:
    await api.keeper.write(STATUSES + status.agent, msgspec.json.encode(status))


async def join(api: Api, name: str, *roles: str) -> None:
    node = Node(node=name, roles=roles, addresses={}, since=START, version="0.1.0", settings_version=4)
    await api.keeper.join(node)


@pytest.fixture
async def agent(api: Api) -> None:
    """That of host-1, whose room is a member."""
    await join(api, MEMBER, AGENT)
    await join(api, "room-1", "room")
    await tell(api)


@asynccontextmanager
async def obeying(api: Api, code: str = "") -> AsyncIterator[list[AgentOrder]]:
    """An agent that takes orders and says that it does them, or why not; the orders that it got."""
    orders: list[AgentOrder] = []

    async def obey() -> None:
        while True:
            kept = await api.keeper.read(ORDERS + "host-1")
            order = order_in(kept)
            if kept is not None and order is not None:
                orders.append(order)
                await api.keeper.write(ORDERS + "host-1", None, kept.version)
                restart = RestartStatus(state="starting", started_at=START, total=2, id=order.id, by=order.by)
                told = msgspec.structs.replace(
                    STATUS,
                    answers=(OrderAnswer(order.id, code, "so" if code else ""),),
                    restart=None if code else restart,
                )
                await tell(api, told)
            await asyncio.sleep(0)

    task = asyncio.create_task(obey())
    try:
        yield orders
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ordered(api: Api) -> AgentOrder | None:
    return order_in(await api.keeper.read(ORDERS + "host-1"))


@pytest.mark.usefixtures("agent")
async def test_agents_are_told_with_what_their_processes_are_as_members(api: Api) -> None:
    (told,) = (await api.http.get("/v1/agents")).json()["agents"]
    assert (await api.http.get("/v1/agents/host-1")).json() == told
    assert {name: told[name] for name in ("agent", "state", "version", "restart")} == {
        "agent": "host-1",
        "state": "present",
        "version": "0.1.0",
        "restart": None,
    }
    store, room, pausing = told["processes"]
    assert (store["kind"], store["node"], store["pid"], store["version"]) == ("store", None, 7, None)
    assert (room["node"], room["restarts"], room["version"], room["settings_version"]) == (
        "room-1",
        1,
        "0.1.0",
        4,
    )
    assert room["last_exit"]["reason"] == "SIGKILL"
    assert (pausing["state"], pausing["pid"], pausing["since"]) == ("pausing", None, None)


@pytest.mark.usefixtures("agent")
async def test_an_agent_is_no_node(api: Api) -> None:
    """It serves nobody, so there is nothing to drain, and it takes no profiles."""
    nodes = (await api.http.get("/v1/nodes")).json()["nodes"]
    assert [node["node"] for node in nodes] == ["room-1"]
    versions = (await api.http.get("/v1/config")).json()["nodes"]
    assert [node["node"] for node in versions] == ["room-1"]
    for method, path in (("POST", ":drain"), ("GET", "/profile?kind=cpu")):
        answer = await api.http.request(method, f"/v1/nodes/{MEMBER}{path}")
        assert answer.json()["error"]["code"] == "node_not_found"


@pytest.mark.usefixtures("agent")
async def test_a_restart_is_ordered_and_answered_once_it_has_begun(api: Api) -> None:
    async with obeying(api) as orders:
        answer = await api.http.post(RESTART)
    (order,) = orders
    assert (order.kind, order.member, order.processes, order.by) == ("restart", MEMBER, (), "admin")
    assert answer.status_code == 202
    restart = answer.json()["restart"]
    assert (restart["id"], restart["by"], restart["state"], restart["total"]) == (
        order.id,
        "admin",
        "starting",
        2,
    )
    (change,) = (await api.http.get("/v1/audit", params={"limit": 1})).json()["changes"]
    assert (change["path"], change["status"], change["subject"], change["detail"]) == (
        "/v1/agents/{agent}:restart",
        202,
        "host-1",
        "all processes",
    )


@pytest.mark.usefixtures("agent")
async def test_some_processes_are_named_by_their_nodes(api: Api) -> None:
    async with obeying(api) as orders:
        answer = await api.http.post(RESTART, json={"processes": ["room-1"]})
        assert answer.status_code == 202
        wrong = await api.http.post(RESTART, json={"processes": ["room-1", "room-2"]})
    assert [order.processes for order in orders] == [("room-1",)]
    assert wrong.status_code == 422
    assert wrong.json()["error"]["details"] == [
        {"field": "processes.1", "message": "no process of this agent"}
    ]


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("path", [RESTART, CANCEL])
@pytest.mark.parametrize("code", [RestartUnderWay.code, NothingToCancel.code, "conflict"])
async def test_what_the_agent_says_instead_is_answered(api: Api, path: str, code: str) -> None:
    async with obeying(api, code):
        answer = await api.http.post(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, code)
    assert answer.json()["error"]["message"] == "so"


@pytest.mark.usefixtures("agent")
async def test_a_restart_beside_one_that_is_under_way_is_refused_without_asking(api: Api) -> None:
    restart = RestartStatus(state="replacing", started_at=START, total=2, ready=2)
    await tell(api, msgspec.structs.replace(STATUS, restart=restart))
    answer = await api.http.post(RESTART)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "restart_under_way")
    assert await ordered(api) is None


async def test_an_agent_that_there_is_not_and_one_that_is_away_take_no_orders(api: Api) -> None:
    for path in (RESTART, CANCEL, "/v1/agents/host-1"):
        method = "GET" if path.endswith("host-1") else "POST"
        answer = await api.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "agent_not_found")
    await tell(api)
    for path in (RESTART, CANCEL):
        answer = await api.http.post(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "agent_away")
    assert (await api.http.get("/v1/agents/host-1")).json()["state"] == "away"
    assert await ordered(api) is None


@pytest.mark.usefixtures("agent")
async def test_an_order_that_is_not_taken_is_taken_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "PATIENCE", 0.05)
    answer = await api.http.post(RESTART)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "agent_silent")
    assert "will not carry it out" in answer.json()["error"]["message"]
    assert await ordered(api) is None


@pytest.mark.usefixtures("agent")
async def test_of_an_order_that_was_taken_without_a_word_nobody_says_that_it_is_not_done(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "PATIENCE", 0.5)
    asking = asyncio.create_task(api.http.post(RESTART))
    await until(lambda: ordered(api))
    await api.keeper.write(ORDERS + "host-1", None)
    answer = await asking
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "agent_silent")
    assert "may have taken" in answer.json()["error"]["message"]


@pytest.mark.usefixtures("agent")
async def test_who_asks_hears_at_once_that_the_agent_is_gone(api: Api) -> None:
    asking = asyncio.create_task(api.http.post(RESTART))
    await until(lambda: ordered(api))
    await api.keeper.leave(MEMBER)
    answer = await asking
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "agent_away")
    assert await ordered(api) is None


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("path", "code"), [(RESTART, "restart_under_way"), (CANCEL, "conflict")], ids=["restart", "cancel"]
)
async def test_an_order_does_not_push_another_one_aside(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str, code: str
) -> None:
    monkeypatch.setattr(agents, "PLACED_WITHIN", 0.05)
    first = AgentOrder(id="first", kind="restart", member=MEMBER, requested_at=START)
    await api.keeper.write(ORDERS + "host-1", msgspec.json.encode(first))
    answer = await api.http.post(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, code)
    assert await ordered(api) == first


@pytest.mark.usefixtures("agent")
async def test_an_order_of_a_center_that_died_expires(api: Api) -> None:
    first = AgentOrder(id="first", kind="restart", member="agent-host-1-before", requested_at=START)
    await api.keeper.write(ORDERS + "host-1", msgspec.json.encode(first))
    api.now = START + ORDER_TTL + 1
    asking = asyncio.create_task(api.http.post(RESTART))

    async def member_of_order() -> str:
        order = await ordered(api)
        return order.member if order is not None else ""

    await eventually(member_of_order, MEMBER)
    async with obeying(api):
        assert (await asking).status_code == 202


@pytest.mark.usefixtures("agent")
async def test_what_cannot_be_read_of_an_agent_is_none(api: Api) -> None:
    await api.keeper.write(STATUSES + "host-2", b'{"of": "another version"}')
    told = (await api.http.get("/v1/agents")).json()["agents"]
    assert [each["agent"] for each in told] == ["host-1"]
    assert (await api.http.get("/v1/agents/host-2")).status_code == 404


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    "body",
    [{"processes": []}, {"processes": [""]}, {"processes": "room-1"}, {"all": True}, {"processes": [7]}],
)
async def test_nonsense_is_refused(api: Api, body: dict[str, object]) -> None:
    answer = await api.http.post(RESTART, json=body)
    assert answer.status_code == 422, answer.text
    assert await ordered(api) is None
