"""An app's rules have changed: takes away what its clients have by the former ones.

It takes a slice in each turn, and until it is over `Fanout` asks the rules about every delivery: so nothing
is delivered that they do not allow from the moment on that the room knows them.
"""

from typing import Final, final

from longline.delivery.acl import Acl
from longline.room.pubsub.fanout import Fanout
from longline.room.session.session import Session, Tenant
from longline.telemetry.faults import Faults

SLICE: Final = 500  # subscriptions and messages that wait, in one turn


@final
class Sifting:
    """`serve` goes on, for the turn."""

    __slots__ = ("_acl", "_fanout", "_faults", "_filters", "_sessions", "_tenant")

    def __init__(self, fanout: Fanout, faults: Faults, tenant: Tenant, acl: Acl) -> None:
        self._fanout = fanout
        self._faults = faults
        self._tenant = tenant
        self._acl = acl
        self._sessions = list(tenant.sessions.values())
        self._filters: list[str] | None = None  # of the last of them that are still to be looked at

    def serve(self) -> bool:
        """Goes through the next ones; False when they were the last, or the rules have changed again."""
        left = SLICE
        sessions = self._sessions
        while left > 0 and sessions:
            if self._tenant.acl is not self._acl:
                return False
            session = sessions[-1]
            filters = self._filters
            if filters is None:
                held = session.subscriptions
                filters = self._filters = [] if held is None else list(held)
            some = filters[-left:]
            del filters[-left:]
            left -= len(some) + 1
            try:
                gone = [one for one in some if not self._acl.may_subscribe(session.device, one)]
                for filter in gone:
                    self._fanout.unsubscribe(session, filter)
                unfile = self._fanout.unfile
                if gone and session.durable and unfile is not None:
                    unfile(session, gone)
                if not filters:
                    left -= sift_queue(self._fanout, session)
            except Exception as error:
                self._faults.note("room.sifting", error)
            if not filters:
                sessions.pop()
                self._filters = None
        if sessions:
            return True
        if self._tenant.acl is self._acl:
            self._tenant.sifting = False
        return False


def sift_queue(fanout: Fanout, session: Session) -> int:
    """Drops messages that wait for a session and that it may not get any more; how many were looked at."""
    plain = session.plain
    queue = None if plain is None else plain.queue
    if plain is None or queue is None:
        return 0
    count = len(queue)
    for _ in range(count):
        held = queue.popleft()
        if fanout.may_receive(session, held.message.packet.topic):
            queue.append(held)
        else:
            plain.queue_bytes -= held.size
    if not queue:
        plain.queue = None
        session.tidy()
    return count
