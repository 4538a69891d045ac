"""Broadcasts that are under way in this room, in the order in which their devices are to get them.

A broadcast is a pass through the sessions of its app. While it is under way some devices have it and others
do not, and what is newer must not come to a device before it: `due` says what is to be written to a session
first.
"""

from collections.abc import Sequence
from typing import final

from pyroaring import BitMap

from longline.model.commands import Broadcast
from longline.room.push.frames import Frames
from longline.room.push.pushes import Pushes
from longline.room.session.session import Session


@final
class Pass:
    """A broadcast on its way through the sessions. `node` is whose sub-task it is."""

    __slots__ = (
        "_audiences",
        "_before",
        "_inbox_before",
        "_positions",
        "broken",
        "cancelled",
        "command",
        "first",
        "frames",
        "had",
        "last",
        "name",
        "node",
        "online_only",
        "parts",
    )

    def __init__(self, node: str, command: Broadcast) -> None:
        self.node = node
        self.command = command
        self.name = (command.app, command.message.id)
        self.frames = Frames(command.message)
        self.online_only = command.message.online_only
        self.parts = command.parts
        # Of each part, since every session asks for it: its position, and what has to come before it.
        self._positions = [part.position for part in command.parts]
        self._before = [part.before for part in command.parts]
        self._inbox_before = [part.inbox_before for part in command.parts]
        there = [position for position in self._positions if position]
        self.first = min(there, default=0)  # of its positions
        self.last = max(there, default=0)
        self.cancelled = False
        self.broken = False  # somebody may not have had its turn
        self.had = BitMap()  # devices that had their turn, where no log can tell; by ordinal
        # Each is read when the first device of its part comes up.
        self._audiences: list[BitMap | None] = [None] * len(command.parts)

    def at(self, session: Session) -> int:
        """Its position in the log's part that a device is in; 0 when it is for nobody there."""
        return self._positions[session.ordinal % len(self._positions)]

    @property
    def few(self) -> bool:
        """Whether it goes to the sessions of those alone whom it is for."""
        return self.command.message.said is not None

    def ordinals(self) -> list[int]:
        """The devices that it is for."""
        count = len(self.parts)
        return [place * count + number for number in range(count) for place in self._audience(number)]

    def _audience(self, number: int) -> BitMap:
        audience = self._audiences[number]
        if audience is None:
            audience = self._audiences[number] = BitMap.deserialize(self.parts[number].audience)
        return audience

    def give(self, session: Session, pushes: Pushes, now_ms: int) -> bool:
        """It is a session's turn: offers it to a device that it is for, and lets the others pass; whether it
        was for it."""
        ordinal = session.ordinal
        count = len(self._positions)
        number = ordinal % count
        audience = self._audience(number)
        place = ordinal // count
        theirs = not self.cancelled and place in audience
        if self.online_only:
            if not theirs or ordinal in self.had:
                return False
            self.had.add(ordinal)
        elif not theirs:
            session.window.pass_by(self._positions[number], self._before[number])
            return False
        inbox_before = self._inbox_before[number]
        before = inbox_before.get(place, 0) if inbox_before else 0
        position = self._positions[number]
        pushes.offer(session, self.frames, position, True, now_ms, before, self._before[number])
        return True


@final
class Passes:
    """All that are under way, by app. Bounded by whoever adds them."""

    def __init__(self) -> None:
        self._of: dict[int, list[Pass]] = {}

    def of(self, app: int) -> list[Pass]:
        """Those of an app, in the order in which they came."""
        return self._of.get(app, [])

    def older(self, passes: Sequence[Pass]) -> bool:
        """Whether others of their app are under way of which a device may have to get one before these."""
        under_way = self.of(passes[0].command.app)
        if len(under_way) <= len(passes):
            return False
        last = max([each.last for each in passes])
        return any(0 < each.first < last and each not in passes for each in under_way)

    def add(self, each: Pass) -> None:
        self._of.setdefault(each.command.app, []).append(each)

    def remove(self, each: Pass) -> None:
        passes = self._of[each.command.app]
        passes.remove(each)
        if not passes:
            del self._of[each.command.app]

    def cancel(self, app: int, message_id: str) -> None:
        """It is written to nobody else."""
        for each in self.of(app):
            if each.command.message.id == message_id:
                each.cancelled = True

    def due(self, session: Session, position: int) -> list[Pass]:
        """Those that its device is to get before what is at this position, oldest first."""
        window = session.window
        found: list[tuple[int, Pass]] = []
        for each in reversed(self.of(session.tenant.app)):
            at = each.at(session)
            if at >= position or not at:
                continue
            if at <= (window.latest if each.online_only else window.log_written):
                break  # the session has come to it, and so it has to those before
            found.append((at, each))
        if len(found) > 1:
            found.sort(key=_position)
        return [each for _, each in found]


def _position(item: tuple[int, Pass]) -> int:
    return item[0]
