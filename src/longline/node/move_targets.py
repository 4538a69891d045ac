"""Where this room's clients can go: the other rooms, in the order that the dispatcher would name them."""

from collections.abc import Callable, Mapping, Sequence

from longline.dispatcher.ranking import TRANSPORTS, Endpoint, endpoints, ranked
from longline.keeper.port import Node


class MoveTargets:
    """Fed with the members by `see`; the rest is answered from memory. `node` gives this node's name."""

    def __init__(self, node: Callable[[], str]) -> None:
        self._node = node
        self._own: Node | None = None
        self._rooms: list[Node] = []
        self._endpoints: Mapping[str, list[Endpoint]] = {}  # by transport
        self._elsewhere: list[Node] = []
        self._endpoints_elsewhere: Mapping[str, list[Endpoint]] = {}

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
        self._endpoints = {via: endpoints(self._rooms, via) for via in TRANSPORTS}
        # One that shares our host and its address has what we have, and lacks what we lack.
        self._elsewhere = [
            room
            for room in self._rooms
            if mine is None
            or (room.host, room.addresses.get("mqtt")) != (mine.host, mine.addresses.get("mqtt"))
        ]
        self._endpoints_elsewhere = {via: endpoints(self._elsewhere, via) for via in TRANSPORTS}

    def any(self) -> bool:
        """Whether another room takes clients."""
        return bool(self._rooms)

    def any_elsewhere(self) -> bool:
        """Whether another room does that does not share our address on this host."""
        return bool(self._elsewhere)

    def address(self, app: str, device: str, via: str) -> str | None:
        """`host:port` for a client that has come by this transport.

        None where that is the address that it knows, shared with other rooms, and where the others have none.
        """
        return self._best(self._endpoints, app, device, via)

    def address_elsewhere(self, app: str, device: str, via: str) -> str | None:
        """The same, of the rooms elsewhere."""
        return self._best(self._endpoints_elsewhere, app, device, via)

    def _best(self, endpoints: Mapping[str, list[Endpoint]], app: str, device: str, via: str) -> str | None:
        known = endpoints.get(via)
        if not known:
            return None
        best = ranked(known, f"{app}/{device}".encode(), region="", network="", limit=1)[0]
        own = self._own.addresses.get(TRANSPORTS[via]) if self._own is not None else None
        return None if best.address == own else best.address
