"""Operations on the nodes: who is a member, and moving the clients of one elsewhere."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.operators.drain_orders import DRAINS, PROGRESS, DrainOrder, order_in, progress_in
from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_admin
from longline.center.requests.reading import Body
from longline.center.requests.times import rfc3339
from longline.center.service import CenterService
from longline.center.shapes import AnyJson, Strict
from longline.delivery.event_views import Time
from longline.errors import NodeNotFound
from longline.keeper.port import Keeper, Kept, Node, nodes_among

FORGET_AFTER = 86_400_000  # ms: orders to nodes that are no more


class LoadView(Struct, frozen=True):
    """What a node has measured of itself lately."""

    connections: int
    capacity: Annotated[int, Meta(description="Connections that it takes.")]
    cpu: Annotated[float, Meta(description="Share of one core in use.")]
    lag: Annotated[float, Meta(description="How late its event loop is, in seconds.")]


class DrainView(Struct, frozen=True):
    """An order to move a node's clients elsewhere, and how far that has come."""

    requested_at: Time
    rate: float | None
    deadline: float | None
    dry_run: bool
    progress: Annotated[
        dict[str, AnyJson] | None, Meta(description="As the node tells it; null until it has begun.")
    ]


class NodeView(Struct, frozen=True):
    """A member of the cluster."""

    node: str
    host: Annotated[str, Meta(description="Its machine, which stays the same when it starts again.")]
    roles: tuple[str, ...]
    addresses: dict[str, str]
    since: Time
    version: str
    region: str
    networks: tuple[str, ...]
    pool: str
    weight: float
    load: LoadView
    draining: Annotated[bool, Meta(description="It takes no new clients.")]
    drain: DrainView | None
    settings_version: Annotated[int, Meta(description="Of the dynamic settings in force there.")]


class NodeList(Struct, frozen=True):
    """Who is a member now, by name."""

    nodes: list[NodeView]


class DrainRequest(Strict, frozen=True):
    """How to move a node's clients elsewhere."""

    rate: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1_000_000,
                description="Clients moved in the first second; then the pace follows how they get along.",
            ),
        ]
        | UnsetType
    ) = UNSET
    deadline: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=86_400,
                description="Seconds for all of it; who is left then is told that the server shuts down.",
            ),
        ]
        | UnsetType
    ) = UNSET
    dry_run: Annotated[bool, Meta(description="Only say what would be done; nobody is moved.")] = False


def operations(center: CenterService) -> list[Operation]:
    """The rows of nodes."""
    handlers = _Handlers(center.keeper, center.clock)
    one = "/v1/nodes/{node}"
    return [
        Operation("GET", "/v1/nodes", for_admin(center.keys, handlers.nodes), "operators", {200: NodeList}),
        Operation(
            "POST",
            f"{one}:drain",
            for_admin(center.keys, handlers.drain),
            "operators",
            {202: NodeView},
            body=DrainRequest,
            body_required=False,
            errors=(NodeNotFound,),
        ),
        Operation(
            "POST",
            f"{one}:undrain",
            for_admin(center.keys, handlers.undrain),
            "operators",
            {200: NodeView},
            errors=(NodeNotFound,),
        ),
    ]


class _Handlers:
    def __init__(self, keeper: Keeper, clock: Callable[[], int]) -> None:
        self._keeper = keeper
        self._clock = clock
        self._drain = Body(DrainRequest, default=DrainRequest())

    async def nodes(self, request: Request) -> Response:
        """List the members of the cluster."""
        keeper = self._keeper
        drains, progress = await keeper.read_all(DRAINS), await keeper.read_all(PROGRESS)
        return answer(
            NodeList(
                [
                    _view(member, drains.get(DRAINS + member.node), progress.get(PROGRESS + member.node))
                    for member in nodes_among(await keeper.members())
                ]
            )
        )

    async def drain(self, request: Request) -> Response:
        """Move a node's clients to other nodes.

        202: the order is kept, and the node carries it out; `GET /v1/nodes` shows how far it has come. The
        node takes no new clients until the order is taken back. A second order replaces the first.
        """
        asked = await self._drain.read(request)
        keeper, now = self._keeper, self._clock()
        node = await self._member(request)
        order = DrainOrder(
            requested_at=now,
            rate=None if asked.rate is UNSET else asked.rate,
            deadline=None if asked.deadline is UNSET else asked.deadline,
            dry_run=asked.dry_run,
        )
        kept = msgspec.json.encode(order)
        version = await keeper.write(DRAINS + node.node, kept)
        await self._forget_old_orders(now)
        return answer(_view(node, Kept(kept, version), None), 202)

    async def undrain(self, request: Request) -> Response:
        """Take an order to drain back: the node takes new clients again.

        Clients that were moved already stay where they are. Also 200 when there was no order.
        """
        node = await self._member(request)
        await self._keeper.write(DRAINS + node.node, None)
        return answer(_view(node, None, None))

    async def _member(self, request: Request) -> Node:
        for member in nodes_among(await self._keeper.members()):
            if member.node == request.path_params["node"]:
                return member
        raise NodeNotFound

    async def _forget_old_orders(self, now: int) -> None:
        keeper = self._keeper
        members = {member.node for member in await keeper.members()}
        for key, kept in (await keeper.read_all(DRAINS)).items():
            node = key.removeprefix(DRAINS)
            order = order_in(kept)
            if node not in members and (order is None or order.requested_at < now - FORGET_AFTER):
                await keeper.write(key, None)
                await keeper.write(PROGRESS + node, None)


def _view(node: Node, drain: Kept | None, progress: Kept | None) -> NodeView:
    order = order_in(drain)
    return NodeView(
        node=node.node,
        host=node.host,
        roles=node.roles,
        addresses=node.addresses,
        since=rfc3339(node.since),
        version=node.version,
        region=node.region,
        networks=node.networks,
        pool=node.pool,
        weight=node.weight,
        load=LoadView(node.load.connections, node.load.capacity, node.load.cpu, node.load.lag),
        draining=node.draining,
        drain=None
        if order is None
        else DrainView(
            requested_at=rfc3339(order.requested_at),
            rate=order.rate,
            deadline=order.deadline,
            dry_run=order.dry_run,
            progress=progress_in(progress),
        ),
        settings_version=node.settings_version,
    )
