"""Operations for operators, and the probes and figures that machines read."""

from collections.abc import Awaitable, Callable

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import DrainView, Health, LoadView, NodeList, NodeView, answer
from longline.center.requests.operations import Operation, for_admin
from longline.center.requests.reading import Body
from longline.center.requests.times import rfc3339
from longline.center.schemas import DrainRequest
from longline.center.service import CenterService, Metrics
from longline.errors import NodeNotFound, Unavailable
from longline.keeper.port import Keeper, Kept, Node, nodes_among
from longline.model.devices import JsonObject

DRAINS = "drains/"  # + node: the order, which the node reads
PROGRESS = "drain-progress/"  # + node: how far it has come, which the node writes
FORGET_AFTER = 86_400_000  # ms: orders to nodes that are no more


class DrainOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of an order to drain.

    `rate`: clients moved in the first second. `deadline`: seconds for all of it. `requested_at` in ms.
    """

    requested_at: int
    rate: float | None = None
    deadline: float | None = None
    dry_run: bool = False


_order = msgspec.json.Decoder(DrainOrder)
_progress = msgspec.json.Decoder(dict[str, object])


def operations(center: CenterService) -> list[Operation]:
    """The rows of operators and machines."""
    handlers = _Handlers(center.keeper, center.obstacle, center.metrics, center.clock)
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
        Operation("GET", "/healthz", handlers.healthz, "operators", {200: Health}, public=True),
        Operation(
            "GET", "/readyz", handlers.readyz, "operators", {200: Health}, errors=(Unavailable,), public=True
        ),
        Operation("GET", "/metrics", handlers.metrics, "operators", {200: None}, public=True),
    ]


class _Handlers:
    def __init__(
        self,
        keeper: Keeper,
        obstacle: Callable[[], Awaitable[str]],
        metrics: Callable[[], Metrics],
        clock: Callable[[], int],
    ) -> None:
        self._keeper = keeper
        self._obstacle = obstacle
        self._metrics = metrics
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
            order = _decoded(kept)
            if node not in members and (order is None or order.requested_at < now - FORGET_AFTER):
                await keeper.write(key, None)
                await keeper.write(PROGRESS + node, None)

    async def healthz(self, request: Request) -> Response:
        """Say that the process answers.

        Also under overload and while shutting down.
        """
        return answer(Health("ok"))

    async def readyz(self, request: Request) -> Response:
        """Say whether the node could do its work.

        503 while it starts or drains, is out of touch with the others, or its store takes nothing.
        """
        obstacle = await self._obstacle()
        if obstacle:
            raise Unavailable(obstacle)
        return answer(Health("ready"))

    async def metrics(self, request: Request) -> Response:
        """Show the node's figures as Prometheus reads them."""
        metrics = self._metrics()
        return Response(metrics.body, media_type=metrics.content_type)


def _view(node: Node, drain: Kept | None, progress: Kept | None) -> NodeView:
    order = _decoded(drain)
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
            progress=_told(progress),
        ),
        settings_version=node.settings_version,
    )


def _decoded(kept: Kept | None) -> DrainOrder | None:
    """The order; None for none, and for one that this version cannot read."""
    try:
        return None if kept is None else _order.decode(kept.value)
    except msgspec.DecodeError:
        return None


def _told(kept: Kept | None) -> JsonObject | None:
    try:
        return None if kept is None else _progress.decode(kept.value)
    except msgspec.DecodeError:
        return None
