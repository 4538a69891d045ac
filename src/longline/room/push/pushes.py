"""Pushes on the last step of their way: from what was offered or read to the device's connection, and back.

What may be written when is the window's to say (`session/window.py`); here it is done.
"""

from typing import Final, Protocol, final

from longline.mqtt.codec import PublishFrame
from longline.room.counters import RoomCounters
from longline.room.push.frames import Frames
from longline.room.push.notice import GapNotice
from longline.room.push.sent import SentPush, SentTwice
from longline.room.session.inflight import ExactlyOnce, Inflight, Notice, Reserved, Stepwise
from longline.room.session.outlet import Outlet
from longline.room.session.session import Attachment, Session
from longline.room.session.window import ASK, LOOK, WRITE

REFUSED: Final = 0x80  # reason codes from here on are failures, section 2.4

# What an acknowledgement was good for:
TAKEN: Final = 0
UNKNOWN: Final = 1  # nothing: what it says was not sent, or is acknowledged
WRONG: Final = 2  # nothing: it is another packet that a message of this QoS waits for

# Why a push that is only for who can take it now is dropped.
BUSY: Final = "busy"  # other pushes go first, or there is no room
LATE: Final = "late"  # newer ones were written before it came


class Outcomes(Protocol):
    """Who is told what became of a push. No call blocks or fails."""

    def written(self, push: SentPush) -> None:
        """It was written to the device's connection."""

    def acknowledged(self, push: SentPush) -> None:
        """The device has taken it."""

    def dropped(self, session: Session, position: int, broadcast: bool, reason: str) -> None:
        """It will not be written to this device."""


class InboxReader(Protocol):
    """Who reads the store for sessions. No call blocks or fails."""

    def ask(self, session: Session) -> None:
        """Its window is to be read for."""

    def look(self, session: Session) -> None:
        """The same, when its turn comes."""


class SilenceWatch(Protocol):
    """Who looks after clients that acknowledge nothing. No call blocks or fails."""

    def answered(self, session: Session) -> None:
        """A session whose acknowledgements are listened to has acknowledged something."""

    def left(self, session: Session) -> None:
        """A session is over; what it had in flight is still known."""


class Releasing(Protocol):
    """A client that is sent PUBREL when the store knows that it has a push."""

    def released(self, session: Session, packet_id: int) -> None:
        """The store knows."""


class FlightLog(Protocol):
    """Who keeps the packet identifiers of pushes with QoS 2 in the store, for sessions that are kept there.

    No call blocks or fails.
    """

    def write_now(self, session: Session, frames: Frames, position: int, broadcast: bool) -> bool:
        """A push that no store can be asked about is to be written as soon as its identifier is stored;
        False when too many wait for that."""

    def taken(self, session: Session, position: int, broadcast: bool) -> Reserved | None:
        """The identifier that is stored for a push, which is used now."""

    def released(self, client: Releasing, push: SentPush, packet_id: int) -> None:
        """PUBREC has come; `client.released` is told when that is committed."""

    def settled(self, push: SentPush, packet_id: int) -> None:
        """PUBCOMP has come, or the push was refused."""


@final
class Pushes:
    """Writes pushes to sessions and takes their acknowledgements. A room has `flights` and a `watch`."""

    __slots__ = ("counters", "flights", "outcomes", "reader", "watch")

    def __init__(self, counters: RoomCounters, outcomes: Outcomes, reader: InboxReader) -> None:
        self.counters = counters
        self.outcomes = outcomes
        self.reader = reader
        self.flights: FlightLog | None = None
        self.watch: SilenceWatch | None = None

    def offer(
        self,
        session: Session,
        frames: Frames,
        position: int,
        broadcast: bool,
        now_ms: int,
        before: int = 0,
        log_before: int = 0,
    ) -> None:
        """Writes a push that has just been stored, or leaves it in the store to be read in its turn.

        One that comes twice is written once, but for `online_only` ones, which no store can be asked about.
        `before` and `log_before`: the positions of a unicast and a broadcast that have to be written first;
        they may never come by themselves.
        """
        window = session.window
        if frames.expires_at <= now_ms:  # it was on its way for too long: the store ends it
            if broadcast and not frames.online_only:
                window.pass_by(position, log_before)
            return
        attachment = session.attachment
        room = attachment is not None and attachment.outlet.ready() and window.free() > 0
        if frames.online_only:
            call = frames.message.call  # whose sender waits: no other goes first
            if position < window.latest and not call:
                self.outcomes.dropped(session, position, broadcast, LATE)
            elif attachment is None or not room or not (call or window.current()):
                self.outcomes.dropped(session, position, broadcast, BUSY)
            elif frames.qos == 2 and session.durable and self.flights is not None:
                if not self.flights.write_now(session, frames, position, broadcast):
                    self.outcomes.dropped(session, position, broadcast, BUSY)
            else:
                window.latest = max(window.latest, position)
                self.write(attachment, frames, position, broadcast, False, now_ms)
            return
        # Its packet identifier has to be in the store first: whoever reads it there sees to that.
        stepwise = frames.qos == 2 and session.durable and self.flights is not None
        do = window.offer(position, broadcast, before, log_before, room and not stepwise)
        if do & WRITE:
            if attachment is not None:
                self.write(attachment, frames, position, broadcast, False, now_ms)
        elif do:
            self.counters.pushes_left += 1
            if position < window.latest:
                self.counters.pushes_late += 1
            if do & ASK:
                self.reader.ask(session)
            elif stepwise and room:
                self.made_room(session)

    def write(
        self,
        attachment: Attachment,
        frames: Frames,
        position: int,
        broadcast: bool,
        sent_before: bool,
        now_ms: int,
    ) -> None:
        """Writes a push into a window that has room for it."""
        if frames.qos == 2 and attachment.first is not None and attachment.first.session.durable:
            # Its identifiers end with the connection, while the client's memory of them does not: what is
            # sent next under one that it remembers would be lost.
            frames = frames.lowered()
        session = attachment.session
        outlet = attachment.outlet
        frame = frames.of(outlet.version, now_ms, attachment.prefix)
        if outlet.particular and not outlet.takes(frame.size):
            # [MQTT-3.1.2-24] a packet over the client's limit is not sent; nor is it worth keeping
            self.outcomes.dropped(session, position, broadcast, "too_large_for_client")
            return
        push = SentPush(session, position, broadcast, frames.message_id, frames.online_only, now_ms)
        self.counters.pushes_sent += 1
        session.tenant.traffic.sent += 1
        if frames.qos == 2:
            self._begin(outlet, frame, push)
        elif frames.qos == 0:
            outlet.write(frame.at_most_once)
            self.outcomes.acknowledged(push)
        else:
            # [MQTT-4.3.2-2] what was sent in another session is sent for the first time in this one, under an
            # identifier that nobody has seen: DUP is for a PUBLISH that is repeated [MQTT-3.3.1-3].
            outlet.write(frame.with_id(session.window.identify(push), sent_before and session.resumed))
            self.outcomes.written(push)

    def _begin(self, outlet: Outlet, frame: PublishFrame, push: SentPush) -> None:
        """Writes a push with QoS 2. Where the session outlives the connection, so does its identifier."""
        session = push.session
        window, flights = session.window, self.flights
        reserved = None
        if flights is not None and session.durable:
            reserved = flights.taken(session, push.position, push.broadcast)
        if reserved is None:
            packet_id = window.identify(SentTwice(push, False))
        else:
            packet_id = reserved.packet_id
            window.keep(packet_id, SentTwice(push, True))
        outlet.write(frame.with_id(packet_id, reserved is not None and reserved.before))
        self.outcomes.written(push)

    def receive(self, client: Releasing, session: Session, packet_id: int) -> bool:
        """A PUBREC that is none of a failure: the device has the push. False when PUBREL has to wait until
        the store knows."""
        inflight = session.window.inflight
        entry = None if inflight is None else inflight.find(packet_id)
        if inflight is None or not isinstance(entry, SentTwice):
            return True
        if not entry.released:
            entry.released = True
            self.counters.pushes_acked += 1
            entry.push.session.tenant.traffic.acked += 1
            self.outcomes.acknowledged(entry.push)
            self._answered(inflight, entry.push.session)
        if not entry.recorded or self.flights is None:
            return True
        self.flights.released(client, entry.push, packet_id)
        return False

    def acknowledge(self, session: Session, packet_id: int, reason: int) -> int:
        """A PUBACK: frees the identifier of a message with QoS 1 and uses the room. TAKEN, or why not."""
        inflight = session.window.inflight
        if inflight is None or packet_id not in inflight:
            return UNKNOWN
        push = inflight.take(packet_id)
        if isinstance(push, SentPush):
            self._answered(inflight, push.session)
            if reason < REFUSED:
                self.counters.pushes_acked += 1
                push.session.tenant.traffic.acked += 1
                self.outcomes.acknowledged(push)
            else:
                push.noted = True
                self.outcomes.dropped(push.session, push.position, push.broadcast, "refused_by_client")
        elif isinstance(push, Notice):
            self._answered(inflight, session)
            push.taken(reason)
        elif isinstance(push, GapNotice):
            self._answered(inflight, session)
            push.acknowledged()
        elif isinstance(push, Stepwise):
            inflight.put(packet_id, push)
            return WRONG
        self.freed(session)
        return TAKEN

    def complete(self, session: Session, packet_id: int) -> None:
        """The last answer to a message with QoS 2: PUBCOMP, or a PUBREC that refuses it."""
        inflight = session.window.inflight
        if inflight is not None:
            entry = inflight.take(packet_id)
            if isinstance(entry, SentTwice):
                push = entry.push
                if not entry.released:
                    self._answered(inflight, push.session)
                    push.noted = True
                    self.outcomes.dropped(push.session, push.position, push.broadcast, "refused_by_client")
                if entry.recorded and self.flights is not None:
                    self.flights.settled(push, packet_id)
            self.freed(session)

    def _answered(self, inflight: Inflight, session: Session) -> None:
        inflight.answers += 1
        if inflight.listened and self.watch is not None:
            self.watch.answered(session)

    def freed(self, session: Session) -> None:
        """Something that was in flight on its connection is not any more.

        Half a window is worth a read; for less, company is waited for.
        """
        window = session.window
        if window.free() * 2 >= window.size:
            self.made_room(session)
        elif window.behind():
            self.reader.look(session)

    def leave(self, session: Session) -> None:
        """The session is over: what is only for who can take it now is not sent again."""
        if self.watch is not None:
            self.watch.left(session)
        inflight = session.window.inflight
        if inflight is None:
            return
        for packet_id, entry in inflight.each():
            push = entry.push if isinstance(entry, SentTwice) and not entry.released else entry
            if isinstance(push, SentPush) and push.session is session and push.online_only:
                # Where the connection goes on, what acknowledges it comes too late.
                if not isinstance(entry, SentTwice):
                    inflight.forget(packet_id)
                elif not entry.recorded:
                    inflight.put(packet_id, ExactlyOnce())
                self.outcomes.dropped(session, push.position, push.broadcast, "disconnected")

    def made_room(self, session: Session) -> None:
        """The client can take more."""
        if session.window.made_room() & ASK:
            self.reader.ask(session)

    def lost(self, session: Session) -> None:
        """Something for this session may have been lost on its way here: the store is asked, in its turn."""
        if not session.guest and session.window.lost() & LOOK:
            self.reader.look(session)
