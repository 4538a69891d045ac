"""Where this room's clients can go: the other rooms, in the order that the dispatcher would name them."""

from collections.abc import Callable, Sequence

from longline.dispatcher.ranking import TRANSPORTS, Endpoint, endpoints, ranked
from longline.keeper.port import Node

Known = dict[str, list[Endpoint]]  # by transport


class MoveTargets:
    """Fed with the members by `see`; the rest is answered from memory. `node` gives this node's name."""

    def __init__(self, node: Callable[[], str]) -> None:
        self._node = node
        self._own: Node | None = None
        self._rooms: list[Node] = []
        self._endpoints: Known = {}
        self._elsewhere: list[Node] = []
        self._endpoints_elsewhere: Known = {}

    def see(self, members: Sequence[Node]) -> None:
        """Takes a new list of members."""
        name = self._node()
        # When we are no member, which may be so for a while, what was known of us still holds.
        mine = self._own = next((member for member in members if member.node == name), self._own)
        self._rooms = [
            member
            for member in members
            if "room" in member.roles
            and not member.draining
            and member.node != name
            and (mine is None or member.pool == mine.pool)
        ]
        # One that shares our host and its addresses has what we have, and lacks what we lack.
        self._elsewhere = [
            room
            for room in self._rooms
            if mine is None or room.host != mine.host or listeners(room) != listeners(mine)
        ]
        self._endpoints = {transport: endpoints(self._rooms, transport) for transport in TRANSPORTS}
        self._endpoints_elsewhere = {
            transport: endpoints(self._elsewhere, transport) for transport in TRANSPORTS
        }

    def any(self) -> bool:
        """Whether another room takes clients."""
        return bool(self._rooms)

    def any_elsewhere(self) -> bool:
        """Whether another room does that does not share our addresses on this host."""
        return bool(self._elsewhere)

    def address(self, app: str, device: str, transport: str) -> str | None:
        """`host:port` for a client; None where that is the address that it knows, shared with other rooms."""
        return self._best(self._endpoints, app, device, transport)

    def address_elsewhere(self, app: str, device: str, transport: str) -> str | None:
        """The same, of the rooms elsewhere."""
        return self._best(self._endpoints_elsewhere, app, device, transport)

    def _best(self, known: Known, app: str, device: str, transport: str) -> str | None:
        candidates = known.get(transport)
        if not candidates:
            return None
        best = ranked(candidates, f"{app}/{device}".encode(), region="", network="", limit=1)[0]
        own = self._own.addresses.get(TRANSPORTS[transport]) if self._own is not None else None
        return None if best.address == own else best.address


def listeners(room: Node) -> dict[str, str | None]:
    """Where clients reach it, by each transport."""
    return {scheme: room.addresses.get(scheme) for scheme in TRANSPORTS.values()}
