from longline.keeper.port import Node
from tests.unit.center.conftest import START, House


async def test_the_members_of_the_cluster_are_listed(house: House) -> None:
    await house.keeper.join(
        Node(
            node="n1",
            roles=("center", "room"),
            addresses={"mqtt": "127.0.0.1:1883"},
            since=START,
            version="1",
        )
    )
    assert (await house.http.get("/v1/nodes")).json() == {
        "nodes": [
            {
                "node": "n1",
                "roles": ["center", "room"],
                "addresses": {"mqtt": "127.0.0.1:1883"},
                "since": "2027-01-15T08:00:00.000Z",
                "version": "1",
            }
        ]
    }


async def test_health_and_readiness_are_two_things(house: House) -> None:
    assert (await house.http.get("/healthz")).json() == {"status": "ok"}
    assert (await house.http.get("/readyz")).json() == {"status": "ready"}
    house.ready = False
    assert (await house.http.get("/healthz")).status_code == 200
    answer = await house.http.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


async def test_probes_and_figures_need_no_key(house: House) -> None:
    del house.http.headers["Authorization"]
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert (await house.http.get(path)).status_code == 200
    metrics = await house.http.get("/metrics")
    assert metrics.text == "longline_up 1\n"
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
