from longline.center.operators.nodes import FORGET_AFTER
from longline.keeper.port import Load, Node
from longline.model.devices import JsonObject
from tests.unit.center.conftest import START, Api


async def join(api: Api, name: str) -> None:
    await api.keeper.join(
        Node(node=name, roles=("center", "room"), addresses={"mqtt": "h:1883"}, since=START, version="1")
    )


async def listed(api: Api) -> list[JsonObject]:
    nodes: list[JsonObject] = (await api.http.get("/v1/nodes")).json()["nodes"]
    return nodes


async def test_the_members_of_the_cluster_are_listed(api: Api) -> None:
    await api.keeper.join(
        Node(
            node="n1",
            host="machine-1",
            roles=("center", "room"),
            addresses={"mqtt": "127.0.0.1:1883"},
            since=START,
            version="1",
            region="north",
            networks=("carrier-a",),
            pool="beta",
            weight=2.5,
            load=Load(connections=7, capacity=100, cpu=0.5, lag=0.001),
            draining=True,
            settings_version=3,
        )
    )
    assert await listed(api) == [
        {
            "node": "n1",
            "host": "machine-1",
            "roles": ["center", "room"],
            "addresses": {"mqtt": "127.0.0.1:1883"},
            "since": "2027-01-15T08:00:00.000Z",
            "version": "1",
            "region": "north",
            "networks": ["carrier-a"],
            "pool": "beta",
            "weight": 2.5,
            "load": {"connections": 7, "capacity": 100, "cpu": 0.5, "lag": 0.001},
            "draining": True,
            "drain": None,
            "settings_version": 3,
        }
    ]


async def test_an_order_to_drain_is_kept_for_the_node_and_shown_with_its_progress(api: Api) -> None:
    await join(api, "n1")
    answer = await api.http.post("/v1/nodes/n1:drain", json={"rate": 50, "deadline": 600})
    order = {"requested_at": "2027-01-15T08:00:00.000Z", "rate": 50, "deadline": 600, "dry_run": False}
    assert (answer.status_code, answer.json()["drain"]) == (202, {**order, "progress": None})
    kept = await api.keeper.read("drains/n1")
    assert kept is not None
    assert kept.value == b'{"requested_at":1800000000000,"rate":50.0,"deadline":600.0}'
    await api.keeper.write("drain-progress/n1", b'{"moved":3,"left":4}')
    assert [node["drain"] for node in await listed(api)] == [{**order, "progress": {"moved": 3, "left": 4}}]


async def test_a_second_order_replaces_the_first_and_undrain_takes_it_back(api: Api) -> None:
    await join(api, "n1")
    await api.http.post("/v1/nodes/n1:drain")
    answer = await api.http.post("/v1/nodes/n1:drain", json={"dry_run": True})
    assert answer.json()["drain"]["dry_run"] is True
    for _ in range(2):
        answer = await api.http.post("/v1/nodes/n1:undrain")
        assert (answer.status_code, answer.json()["drain"]) == (200, None)
        assert await api.keeper.read("drains/n1") is None


async def test_who_is_no_member_cannot_drain(api: Api) -> None:
    await join(api, "n1")
    for order in ("drain", "undrain"):
        answer = await api.http.post(f"/v1/nodes/ghost:{order}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "node_not_found")


async def test_an_order_that_cannot_be_is_refused(api: Api) -> None:
    await join(api, "n1")
    for body in ({"rate": 0}, {"rate": "fast"}, {"deadline": -1}, {"speed": 1}):
        answer = await api.http.post("/v1/nodes/n1:drain", json=body)
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, next(iter(body)))
    assert await api.keeper.read("drains/n1") is None


async def test_old_orders_to_nodes_that_are_no_more_are_forgotten(api: Api) -> None:
    for name in ("n1", "n2"):
        await join(api, name)
    await api.http.post("/v1/nodes/n1:drain")
    await api.keeper.write("drain-progress/n1", b"{}")
    await api.keeper.leave("n1")
    for after, left in ((FORGET_AFTER, True), (1, False)):
        api.now += after
        await api.http.post("/v1/nodes/n2:drain")
        assert (await api.keeper.read("drains/n1") is not None) == left
        assert (await api.keeper.read("drain-progress/n1") is not None) == left
    assert await api.keeper.read("drains/n2") is not None


async def test_what_cannot_be_read_of_an_order_is_left_out(api: Api) -> None:
    await join(api, "n1")
    await api.keeper.write("drains/n1", b"?")
    await api.keeper.write("drain-progress/n1", b"?")
    assert [node["drain"] for node in await listed(api)] == [None]
    await api.http.post("/v1/nodes/n1:drain")
    (node,) = await listed(api)
    assert isinstance(node["drain"], dict)
    assert node["drain"]["progress"] is None


async def test_only_the_admin_key_drains(api: Api, news: str) -> None:
    await join(api, "n1")
    mine = {"Authorization": f"Bearer {api.keys['news']}"}
    assert (await api.http.post("/v1/nodes/n1:drain", headers=mine)).status_code == 403


async def test_health_and_readiness_are_two_things(api: Api) -> None:
    assert (await api.http.get("/healthz")).json() == {"status": "ok"}
    assert (await api.http.get("/readyz")).json() == {"status": "ready"}
    api.ready = False
    assert (await api.http.get("/healthz")).status_code == 200
    answer = await api.http.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


async def test_probes_and_figures_need_no_key(api: Api) -> None:
    del api.http.headers["Authorization"]
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert (await api.http.get(path)).status_code == 200
    metrics = await api.http.get("/metrics")
    assert metrics.text == "longline_up 1\n"
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
