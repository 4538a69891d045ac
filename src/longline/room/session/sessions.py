"""The sessions of a room: how they come to a connection, and what follows when they lose it."""

from collections.abc import Callable, Iterable
from typing import Final, final

from longline.delivery.acl import Acls
from longline.model.apps import App
from longline.model.commands import CloseReason
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.sifting import Sifting
from longline.room.pubsub.subscriptions import Subscriptions
from longline.room.push.pushes import Pushes
from longline.room.session.outlet import Outlet
from longline.room.session.roll import Roll
from longline.room.session.session import Attachment, Gone, Session, Tenant
from longline.telemetry.faults import Faults
from longline.telemetry.traffic import NOBODY, Traffic

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

    __slots__ = (
        "_counters",
        "_departed",
        "_fanout",
        "_faults",
        "_pushes",
        "_rolls",
        "_traffic",
        "acls",
        "tenants",
    )

    def __init__(
        self,
        counters: RoomCounters,
        faults: Faults,
        fanout: Fanout,
        pushes: Pushes,
        departed: Callable[[Session], None],
        traffic: Traffic,
    ) -> None:
        self.tenants: dict[int, Tenant] = {}
        self.acls = Acls()
        self._rolls: dict[int, Roll] = {}  # of apps in which something is for a few
        self._counters = counters
        self._faults = faults
        self._fanout = fanout
        self._pushes = pushes
        self._departed = departed
        self._traffic = traffic
        traffic.connections = self._count

    def _count(self, app: int) -> int:
        tenant = self.tenants.get(app)
        return NOBODY if tenant is None else len(tenant.sessions)

    def find(self, app: int, device: str) -> Session | None:
        tenant = self.tenants.get(app)
        return tenant.sessions.get(device) if tenant is not None else None

    def of(self, app: int) -> list[Session]:
        """All sessions of an app, a new list."""
        tenant = self.tenants.get(app)
        return [] if tenant is None else list(tenant.sessions.values())

    def some(self, app: int, ordinals: Iterable[int]) -> list[Session]:
        """The sessions of these devices of an app; and those of which nobody knows yet whose they are."""
        tenant = self.tenants.get(app)
        if tenant is None:
            return []
        roll = self._rolls.get(app)
        if roll is None:
            roll = self._rolls[app] = Roll(tenant.sessions.values())
        return roll.of(ordinals)

    def enter(self, app: int, name: str, pubsub: bool, generation: int = 0) -> Tenant:
        """The app's tenant, made on its first session."""
        tenant = self.tenants.get(app)
        if tenant is None:
            traffic = self._traffic.of(app, name)
            tenant = self.tenants[app] = Tenant(app, name, pubsub, generation, Subscriptions(), traffic)
        return tenant

    def renew(self, tenant: Tenant, generation: int) -> None:
        """An app is of this generation now: sessions that are there from an earlier one end, in slices."""
        if generation > tenant.generation:
            tenant.generation = generation
            ending = Ending(self, list(tenant.sessions.values()), Gone.CLOSED, NOT_AUTHORIZED, KEY_ROTATED)
            self._fanout.turn.slice(ending.serve)

    def rule(self, tenant: Tenant, app: App) -> None:
        """These are an app's limits and rules now: what they do not allow is taken from sessions, in slices.

        Until that is done, every delivery is looked at.
        """
        tenant.limits = app.limits
        acl = self.acls.of(app)
        before = tenant.acl
        if acl is before or (acl is not None and before is not None and acl.rules == before.rules):
            return
        tenant.acl = acl
        tenant.sifting = acl is not None and bool(tenant.sessions)
        if acl is not None and tenant.sifting:
            self._fanout.turn.slice(Sifting(self._fanout, self._faults, tenant, acl).serve)

    # --- coming -----------------------------------------------------------------------------------

    def open(self, session: Session) -> None:
        """Puts a session into the index. One of the same device is taken over: its connection is closed."""
        sessions = session.tenant.sessions
        previous = sessions.get(session.device)
        sessions[session.device] = session
        self._counters.sessions += 1
        roll = self._rolls.get(session.tenant.app) if self._rolls else None
        if roll is not None:
            roll.add(session)
        if previous is not None:
            self.close(previous, Gone.TAKEN_OVER, ReasonCode.SESSION_TAKEN_OVER, "taken_over")

    def attach(
        self, session: Session, outlet: Outlet, prefix: str = "", first: Attachment | None = None
    ) -> Attachment:
        """Gives a session a connection, whose `first` attachment is another's or this one."""
        attachment = Attachment(session, outlet)
        if first is not None:
            first.join(attachment, prefix)
            self._counters.attachments += 1
        session.attachment = attachment
        return attachment

    # --- going ------------------------------------------------------------------------------------

    def close(self, session: Session, gone: Gone, reason: ReasonCode, code: str) -> None:
        """Parts a session from its client: by closing the connection, where it is the connection's first."""
        session.gone = gone
        session.why = code
        attachment = session.attachment
        if attachment is None:
            return
        if attachment.first is None:
            attachment.outlet.close(reason, code)
        else:
            self._counters.closed.add(code)
            let_in = attachment.sharing is not None and attachment.sharing.let_in
            self.detach(attachment)
            attachment.outlet.parted(session.tenant.name, session.device, reason, code, let_in)

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
        """A session has lost its connection, and ends here with it. (What is kept of it is in the store.)"""
        session = attachment.session
        first = attachment.first
        if first is not None:
            first.part(attachment)
            attachment.sharing = None
            self._counters.attachments -= 1
            if not first.outlet.ended:
                self._fanout.drain_all(first)  # plain messages of others may have waited for its pushes
        session.attachment = None
        self.end(session)

    def end(self, session: Session) -> None:
        """Takes a session out of every index. A newer one of the device stays as it is."""
        self._fanout.leave(session)
        self._pushes.leave(session)
        tenant = session.tenant
        roll = self._rolls.get(tenant.app) if self._rolls else None
        if roll is not None:
            roll.remove(session)
        if tenant.sessions.get(session.device) is session:
            del tenant.sessions[session.device]
            if not tenant.sessions and self.tenants.get(tenant.app) is tenant:
                del self.tenants[tenant.app]
                self._rolls.pop(tenant.app, None)
        self._counters.sessions -= 1
        self._departed(session)
