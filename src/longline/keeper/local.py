"""Membership of a node that is a whole cluster by itself."""

from longline.keeper.port import Node


class LocalKeeper:
    """Fulfils `Keeper` in a dict: members are of this process, and the first by name leads."""

    def __init__(self) -> None:
        self._members: dict[str, Node] = {}

    async def join(self, node: Node) -> None:
        self._members[node.node] = node

    async def leave(self, node: str) -> None:
        self._members.pop(node, None)

    async def members(self) -> list[Node]:
        return sorted(self._members.values(), key=lambda member: member.node)

    async def leads(self, duty: str, node: str) -> bool:
        return node in self._members and node == min(self._members)
