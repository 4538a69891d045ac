"""How sessions are written in Redis: names of keys, and what comes back. See `lua/sessions.lua`."""

from typing import Final

from longline.errors import Unavailable
from longline.model.devices import Binding
from longline.register.port import Transition
from longline.store.redis import Reply, Script

PACKAGE: Final = "longline.register.lua"


class Partition:
    """A part of the devices, whose keys are together. `keys`: what every script has as its first three."""

    __slots__ = ("_prefix", "keys", "linger", "moves", "number", "source", "tag")

    def __init__(self, number: int) -> None:
        self.number = number
        self.source = f"p{number}"
        self.tag = self.source.encode()
        self._prefix = b"{%b}" % self.tag
        self.linger = self._prefix + b"linger"
        self.moves = self._prefix + b"moves"
        self.keys = [self._prefix + b"epoch", self.linger, self.moves]

    def sessions(self, app: int) -> bytes:
        """Key of an app's table."""
        return b"%bw:%d" % (self._prefix, app)

    def at(self, node: str) -> bytes:
        """Key of the set of who is connected to a node."""
        return b"%bat:%b" % (self._prefix, node.encode())

    def dead(self, node: str) -> bytes:
        """Key that is there when a node was declared dead."""
        return b"%bdead:%b" % (self._prefix, node.encode())

    def bound(self, token: bytes) -> bytes:
        """Key of the answer to one call of `bind`."""
        return b"%bbound:%b" % (self._prefix, token)


def script(name: str) -> Script:
    """One of the register's scripts."""
    return Script(PACKAGE, name)


def items(reply: Reply) -> list[Reply]:
    """A reply that is a list."""
    if not isinstance(reply, list):
        raise Unavailable("the store answered something else than a list")
    return reply


def number(reply: Reply) -> int:
    """A reply that is a number."""
    if not isinstance(reply, int):
        raise Unavailable("the store answered something else than a number")
    return reply


def binding(reply: Reply) -> Binding | None:
    """A binding in the table; None where there is none."""
    if not isinstance(reply, bytes):
        return None
    epoch, since, _, node = reply.decode().split(" ", 3)
    return Binding(node, int(epoch), int(since))


def transition(source: str, entry: Reply) -> Transition:
    """An entry of a partition's stream."""
    match entry:
        case [bytes() as sequence, [bytes() as device, bytes() as text, *missed]]:
            app, state, epoch, at, node = text.decode().split(" ", 4)
            return Transition(
                int(app),
                device.decode(),
                state,
                int(epoch),
                node,
                int(at),
                source,
                int(sequence.partition(b"-")[0]),
                bool(missed),
            )
    raise Unavailable("the store has a transition that nobody can read")
