"""At CONNECT: opens sessions in the store, and goes on where they were.

Only those go there whose clients ask for something to be kept, or have a will, or of which something is kept;
the others never cost a call. What a session had is in place, in one step with the CONNACK that says so.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from longline.errors import LonglineError
from longline.model.pubsub import Filter, StoredWill
from longline.mqtt.packets import MQTT_5_0, Connect, Pubrel, Subscription
from longline.mqtt.properties import SESSION_EXPIRY_INTERVAL, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.kept.apps import KeptApps
from longline.room.kept.closings import Closings
from longline.room.kept.filings import Filings
from longline.room.kept.reader import QueueReader
from longline.room.kept.steps import Steps
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.publications import packed
from longline.room.pubsub.rules import Rules
from longline.room.push.flights import Flights, Resuming
from longline.room.session.inflight import FromQueue, Inflight, PacketIds, queue_identifier
from longline.room.session.session import Persistence, Plain, Session
from longline.saver.port.sessions import FOREVER, KeptSession, OpenSession, SessionStore

DENIED: Final = int(ReasonCode.NOT_AUTHORIZED)
WILL_DELAY: Final = PropertyId.WILL_DELAY_INTERVAL


class Terms(NamedTuple):
    """What a client asks for: how long its session is to be kept, in seconds, and what it is granted."""

    asked: int
    granted: int


class Opening:
    """One for a room. `max_expiry` in seconds."""

    def __init__(
        self,
        store: SessionStore,
        apps: KeptApps,
        filings: Filings,
        steps: Steps,
        closings: Closings,
        reader: QueueReader,
        flights: Flights,
        fanout: Fanout,
        rules: Rules,
        counters: RoomCounters,
        *,
        max_expiry: int,
    ) -> None:
        self.apps = apps
        self.max_expiry = max_expiry
        self._store = store
        self._filings = filings
        self._steps = steps
        self._closings = closings
        self._reader = reader
        self._flights = flights
        self._fanout = fanout
        self._rules = rules
        self._counters = counters

    # --- what a client asks for -------------------------------------------------------------------

    def check_will(self, packet: Connect, pubsub: bool) -> None:
        """Raises why a client is not let in with its will; `pubsub`: whether its app has plain
        publish/subscribe."""
        will = packet.will
        refusal = None if will is None else self._rules.topic(will.topic, pubsub)
        if refusal is not None:
            denied = refusal.reason == ReasonCode.NOT_AUTHORIZED
            raise WillNotAllowed(refusal.message) if denied else WillTopicInvalid(refusal.message)

    def terms(self, packet: Connect) -> Terms:
        """How long a session is to be kept."""
        if packet.version == MQTT_5_0:
            asked = get_int(packet.properties, SESSION_EXPIRY_INTERVAL) or 0
        else:
            asked = 0 if packet.clean_start else FOREVER
        return Terms(asked, min(asked, self.max_expiry))

    def keeps(self, packet: Connect) -> bool:
        """Whether a client asks for something that is kept in the store."""
        return self.terms(packet).granted > 0 or packet.will is not None

    def prepare(self, session: Session, packet: Connect, there: bool) -> bool:
        """Whether a session has to be opened in the store. `there`: something of it may be kept."""
        if not there and not self.keeps(packet):
            return False
        kept = session.kept = Persistence(session.epoch)
        kept.durable = self.terms(packet).granted > 0
        # A connection that is not let in leaves nothing behind that was not there before it.
        kept.expires_in = None if there else 0
        return True

    # --- opening ----------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Returns when what clients have said here is committed: who comes back finds it."""
        await self._closings.finished()
        await self._steps.finished()
        await self._flights.committed()

    def withdrawn(self, session: Session) -> None:
        """A session has ended while the store opened it, and may have been closed before that."""
        self._closings.add(session, again=True)

    def request(self, session: Session, packet: Connect, node: str, now: int) -> OpenSession:
        """What the store is asked for."""
        return OpenSession(
            session.tenant.app,
            session.device,
            session.ordinal,
            node,
            session.epoch,
            now,
            packet.clean_start,
            self.terms(packet).granted,
            will_of(packet),
        )

    async def open(self, requests: Sequence[OpenSession]) -> list[KeptSession | None]:
        """Asks the store."""
        return await self._store.open(requests)

    def resume(self, client: Resuming, session: Session, found: KeptSession) -> None:
        """Puts in place what a session had, right before its client is let in."""
        kept = session.kept
        if kept is None:
            return
        kept.number = found.number
        kept.present = found.present
        kept.durable = kept.durable or found.present
        kept.expires_in = None
        kept.will = True
        kept.read = found.queued - 1 if found.queued else found.latest
        kept.more = kept.more or found.queued > 0
        kept.sent = found.sent
        self._counters.sessions_opened += 1
        self._counters.sessions_resumed += found.present
        if found.filters:
            self._subscribe(session, found.filters, client.mqtt5)
        if found.received:
            if session.plain is None:
                session.plain = Plain()
            session.plain.received = PacketIds(found.received)
        if found.released:
            inflight = session.window.inflight
            if inflight is None:
                inflight = session.window.inflight = Inflight()
            for place in found.released:
                inflight.put(queue_identifier(place), FromQueue(place, 2, True))
        self._flights.resume(session, found.flights)

    def begin(self, client: Resuming, session: Session, found: KeptSession) -> None:
        """The client is let in: goes on with what was under way."""
        for place in found.released:  # [MQTT-4.4.0-1]
            client.send(Pubrel(queue_identifier(place)))
        self._flights.begin(client, found.flights)
        self._reader.ask(session)

    def _subscribe(self, session: Session, filters: Sequence[Filter], mqtt5: bool) -> None:
        gone = []
        self.apps.there(session.tenant.app)
        for filter in filters:
            wanted = Subscription(filter.filter, filter.qos, filter.no_local, filter.as_published, 2)
            refusal = self._rules.subscription(session, wanted, mqtt5)
            if refusal is not None and refusal.reason == DENIED:
                gone.append(filter.filter)  # it was allowed when it was subscribed to
            else:
                self._fanout.subscribe(session, wanted, filter.identifier)
        if gone:
            self._filings.unsubscribe(None, session, gone, None)


class WillNotAllowed(LonglineError):
    """The client may not publish to the topic of its will."""

    code = "will_refused"
    reason = DENIED


class WillTopicInvalid(LonglineError):
    """The topic of the will has too many levels."""

    code = "will_refused"
    reason = ReasonCode.TOPIC_NAME_INVALID


def will_of(packet: Connect) -> StoredWill | None:
    """A client's will as the store has it."""
    will = packet.will
    if will is None:
        return None
    delay = get_int(will.properties, WILL_DELAY) or 0
    properties = will.properties
    if properties is not None and WILL_DELAY in properties:
        properties = {name: value for name, value in properties.items() if name != WILL_DELAY}
    kept, expiry = packed(properties)
    return StoredWill(will.topic, will.payload, will.qos, will.retain, kept, delay, expiry or 0)
