"""The sessions of a room: how they come to a connection, and what follows when they lose it."""

from collections.abc import Callable
from typing import Final, final

from longline.model.commands import CloseReason
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.subscriptions import Subscriptions
from longline.room.push.pushes import Pushes
from longline.room.session.outlet import Outlet
from longline.room.session.session import Attachment, Gone, Session, Tenant
from longline.telemetry.faults import Faults

SLICE: Final = 500  # sessions closed in one turn
NOT_AUTHORIZED: Final = ReasonCode.NOT_AUTHORIZED
KEY_ROTATED: Final = CloseReason.KEY_ROTATED.value


@final
class Ending:
    """Sessions that are closed, a slice in each turn."""

    __slots__ = ("_code", "_gone", "_index", "_reason", "_sessions", "_started")

    def __init__(
        self, index: "Sessions", sessions: list[Session], gone: Gone, reason: ReasonCode, code: str
    ) -> None:
        self._index = index
        self._sessions = sessions
        self._gone = gone
        self._reason = reason
        self._code = code
        self._started = 0

    def serve(self) -> bool:
        """Closes the next ones; False when they were the last."""
        end = self._started + SLICE
        for session in self._sessions[self._started : end]:
            self._index.close_one(session, self._gone, self._reason, self._code)
        self._started = end
        return end < len(self._sessions)


@final
class Sessions:
    """The index. `departed` is told of a session that is over, and in no index any more."""

    __slots__ = ("_counters", "_departed", "_fanout", "_faults", "_pushes", "tenants")

    def __init__(
        self,
        counters: RoomCounters,
        faults: Faults,
        fanout: Fanout,
        pushes: Pushes,
        departed: Callable[[Session], None],
    ) -> None:
        self.tenants: dict[int, Tenant] = {}
        self._counters = counters
        self._faults = faults
        self._fanout = fanout
        self._pushes = pushes
        self._departed = departed

    def find(self, app: int, device: str) -> Session | None:
        tenant = self.tenants.get(app)
        return tenant.sessions.get(device) if tenant is not None else None

    def of(self, app: int) -> list[Session]:
        """All sessions of an app, a new list."""
        tenant = self.tenants.get(app)
        return [] if tenant is None else list(tenant.sessions.values())

    def enter(self, app: int, name: str, pubsub: bool, generation: int = 0) -> Tenant:
        """The app's tenant, made on its first session."""
        tenant = self.tenants.get(app)
        if tenant is None:
            tenant = self.tenants[app] = Tenant(app, name, pubsub, generation, Subscriptions())
        return tenant

    def renew(self, tenant: Tenant, generation: int) -> None:
        """An app is of this generation now: sessions that are there from an earlier one end, in slices."""
        if generation > tenant.generation:
            tenant.generation = generation
            ending = Ending(self, list(tenant.sessions.values()), Gone.CLOSED, NOT_AUTHORIZED, KEY_ROTATED)
            self._fanout.turn.slice(ending.serve)

    # --- coming -----------------------------------------------------------------------------------

    def open(self, session: Session) -> None:
        """Puts a session into the index. One of the same device is taken over: its connection is closed."""
        sessions = session.tenant.sessions
        previous = sessions.get(session.device)
        sessions[session.device] = session
        self._counters.sessions += 1
        if previous is not None:
            self.close(previous, Gone.TAKEN_OVER, ReasonCode.SESSION_TAKEN_OVER, "taken_over")

    def attach(
        self, session: Session, outlet: Outlet, prefix: str = "", first: Attachment | None = None
    ) -> Attachment:
        """Gives a session a connection, whose `first` attachment is another's or this one."""
        attachment = Attachment(session, outlet)
        if first is not None:
            first.join(attachment, prefix)
        session.attachment = attachment
        return attachment

    # --- going ------------------------------------------------------------------------------------

    def close(self, session: Session, gone: Gone, reason: ReasonCode, code: str) -> None:
        """Parts a session from its client: by closing the connection, where it is the connection's first."""
        session.gone = gone
        attachment = session.attachment
        if attachment is None:
            return
        if attachment.first is None:
            attachment.outlet.close(reason, code)
        else:
            self._counters.closed.add(code)
            self.detach(attachment)

    def close_one(self, session: Session, gone: Gone, reason: ReasonCode, code: str) -> None:
        """As `close`, for one of many that may have gone or been taken over meanwhile.

        Whatever is wrong with it is kept from the others.
        """
        try:
            if session.tenant.sessions.get(session.device) is session:
                self.close(session, gone, reason, code)
        except Exception as error:
            self._faults.note("room.sessions", error)

    def lost(self, first: Attachment) -> None:
        """A connection is gone, and with it all that were attached to it."""
        for attachment in first.every():
            try:
                self.detach(attachment)
            except Exception as error:
                self._faults.note("room.sessions", error)

    def detach(self, attachment: Attachment) -> None:
        """A session has lost its connection. It ends with it: nothing of a session is kept for later yet."""
        session = attachment.session
        first = attachment.first
        if first is not None:
            first.part(attachment)
            attachment.sharing = None
        session.attachment = None
        self.end(session)

    def end(self, session: Session) -> None:
        """Takes a session out of every index. A newer one of the device stays as it is."""
        self._fanout.leave(session)
        self._pushes.leave(session)
        tenant = session.tenant
        if tenant.sessions.get(session.device) is session:
            del tenant.sessions[session.device]
            if not tenant.sessions and self.tenants.get(tenant.app) is tenant:
                del self.tenants[tenant.app]
        self._counters.sessions -= 1
        self._departed(session)
