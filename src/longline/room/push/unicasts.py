"""Unicasts that the bus has brought, handed to the sessions that they are for.

Compiled: this is done for each delivery.
"""

from typing import Final, Protocol, final

from longline.flow.lru import LruCache
from longline.model.commands import Unicast
from longline.room.push.frames import Frames
from longline.room.push.pushes import Pushes
from longline.room.push.turns import QUANTUM, AppLine, AppTurns
from longline.room.session.session import Session
from longline.room.session.sessions import Sessions
from longline.telemetry.faults import Faults

REMEMBERED: Final = 16_384  # deliveries of online_only unicasts that are known when they come again
PLACE: Final = "room.commands"


class Earlier(Protocol):
    """Who has broadcasts that go before what is newer."""

    def under_way(self, app: int) -> bool:
        """Whether there is anything that `bring` may have to write."""

    def bring(self, session: Session, position: int, now: int) -> int:
        """Writes to a session the broadcasts that go before what is at this position; how many there were."""


@final
class Unicasts:
    """Owned by `Commands`. Whatever is wrong with a delivery costs the others nothing: `faults` is told."""

    __slots__ = ("_earlier", "_faults", "_pushes", "_seen", "_sessions")

    def __init__(self, sessions: Sessions, pushes: Pushes, earlier: Earlier, faults: Faults) -> None:
        self._sessions = sessions
        self._pushes = pushes
        self._earlier = earlier
        self._faults = faults
        self._seen: LruCache[tuple[str, int], None] = LruCache(REMEMBERED)

    def serve(self, turns: AppTurns, most: int, now: int) -> int:
        """Carries out the unicasts whose turn it is, until another command's has come or about so many
        deliveries are done; how many were."""
        done = 0
        while done < most:
            line = turns.next()
            if line is None:
                break
            command = line.commands[0]
            if not isinstance(command, Unicast):
                break
            spent = self._go_on(command, line, min(QUANTUM, most - done), now)
            turns.spend(spent, line.place >= len(command.targets))
            done += spent
        return done

    def _go_on(self, command: Unicast, line: AppLine, most: int, now: int) -> int:
        """Goes on with a unicast, for about so many deliveries; how many it were."""
        frames = line.frames
        if frames is None:
            frames = line.frames = Frames(command.message)
        app = command.app
        under_way = self._earlier.under_way(app)
        done = 0
        begin = line.place
        for target in command.targets[begin : begin + most]:
            if done >= most:  # it had broadcasts brought before it
                break
            done += 1
            line.place += 1
            session = self._sessions.find(app, target.device)
            # A guest's device was registered since it came: the next time, it gets this.
            if session is None or session.guest:
                continue
            try:
                position = target.position
                if session.window.fresh():
                    self._pushes.lost(session)  # it is just connecting: it reads this from the store
                elif not frames.online_only or self._seen.add((frames.message_id, target.ordinal), None):
                    if under_way:
                        done += self._earlier.bring(session, position, now)
                    self._pushes.offer(
                        session, frames, position, False, now, target.before, target.log_before
                    )
            except Exception as error:
                self._faults.note(PLACE, error)
        return done
