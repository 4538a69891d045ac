"""What tests of the console see of a node, or of a cluster, which `--shape=cluster` puts in its place."""

from typing import Protocol

import httpx

from longline import Center
from tests.cluster.cluster import Cluster
from tests.integration.shapes import emptied


class Node(Protocol):
    """Of a cluster, `url` and `mqtt_port` name another process with each look."""

    admin_key: str

    @property
    def url(self) -> str: ...

    @property
    def mqtt_port(self) -> int: ...

    def center(self) -> Center:
        """The API, with the admin key."""
        ...


async def put_back(cluster: Cluster) -> None:
    """Takes away what a test has made or ordered, so that the next one finds nothing of it."""
    await emptied(cluster)
    headers = {"Authorization": f"Bearer {cluster.admin_key}"}
    async with httpx.AsyncClient(base_url=cluster.url, headers=headers, timeout=60) as http:
        for node in (await http.get("/v1/nodes")).json()["nodes"]:
            if node["drain"]:
                await http.post(f"/v1/nodes/{node['node']}:undrain")
        for key in (await http.get("/v1/keys")).json()["keys"]:
            await http.delete(f"/v1/keys/{key['key_id']}")
        for profile in (await http.get("/v1/profiles")).json()["profiles"]:
            await http.delete(f"/v1/profiles/{profile['profile']}")
        config = (await http.get("/v1/config")).json()
        if config["gray"]:
            await http.post("/v1/config:rollback")
        for name in config["settings"]:
            await http.delete(f"/v1/config/{name}")
