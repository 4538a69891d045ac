"""A keeper and queues that a test has in its hand, and members as they tell of themselves."""

from longline.bus.local import LocalBus
from longline.errors import Unavailable
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Load, Node


class FickleKeeper(LocalKeeper):
    """One that can be out of touch, or refuse; whose members can die without leaving."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = False
        self.told: list[Node] = []
        self.left: list[str] = []

    def in_touch(self) -> bool:
        return not self.gone

    async def join(self, node: Node) -> None:
        if self.gone:
            raise Unavailable("the keeper cannot be reached")
        self.told.append(node)
        await super().join(node)

    async def leave(self, node: str) -> None:
        self.left.append(node)
        if self.gone:
            raise Unavailable("the keeper cannot be reached")
        await super().leave(node)

    async def take_for_dead(self, node: str) -> None:
        await super().leave(node)

    async def names(self) -> list[str]:
        return [member.node for member in await self.members()]

    async def write(self, key: str, value: bytes | None, version: int | None = None) -> int:
        if self.gone:
            raise Unavailable("the keeper cannot be reached")
        return await super().write(key, value, version)


class FickleBus(LocalBus):
    """One that can be out of reach."""

    def __init__(self) -> None:
        super().__init__(100)
        self.gone = False

    async def nodes(self) -> list[str]:
        if self.gone:
            raise Unavailable("the bus cannot be reached")
        return await super().nodes()


def a_member(
    name: str,
    *,
    roles: tuple[str, ...] = ("room",),
    address: str = "",
    pool: str = "",
    draining: bool = False,
    load: Load | None = None,
) -> Node:
    return Node(
        node=name,
        roles=roles,
        addresses={"mqtt": address or f"{name}:1883"},
        since=1,
        version="1",
        pool=pool,
        draining=draining,
        load=load or Load(),
    )
