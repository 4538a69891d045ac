"""Random valid packets of several clients at two rooms; after each step all have got what the model says.

That nothing more comes is known from fences: messages by a client of each room, with QoS 0 and QoS 1, which
every client gets behind what was published before. Then each connection answers a PINGREQ.
"""

import itertools
import socket
import struct
from typing import ClassVar, Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.conformance import wire
from tests.conformance.wire import Property
from tests.model.broker import Message, Model, Session, State, Subscription
from tests.model.judge import judge
from tests.model.peer import KEPT, LIVE, Peer, see, wait
from tests.model.stand import Stand

CLIENTS: Final = 4
ROOMS: Final = ("a", "b")
TOPICS: Final = ("home", "home/a", "home/b", "home/a/c", "other/a", "/home/a")
FILTERS: Final = (
    *("home/a", "home/+", "home/#", "#", "+/a", "+/+", "home/a/#", "+/a/c", "+/+/a", "other/a"),
    *("$share/g/home/+", "$share/g/home/#", "$share/h/home/a"),
)
PROPERTIES: Final[tuple[tuple[Property, ...], ...]] = (
    (),
    ((wire.USER, ("b", "1")), (wire.USER, ("a", "2")), (wire.USER, ("b", "1"))),
    ((wire.FORMAT, 1), (wire.CONTENT_TYPE, "text"), (wire.RESPONSE_TOPIC, "re"), (wire.CORRELATION, b"\0x")),
    ((wire.EXPIRY, 10_000),),
)
KEEPING: Final = 10_000  # s: no session's time passes in a test
AGAIN: Final = 0.5  # s until fences are sent anew: who has just subscribed elsewhere may miss the first
SESSION_TAKEN_OVER: Final = 0x8E
WITH_WILL: Final = 0x04
ASKING: Final = 60_000  # the packet identifier of SUBSCRIBE and UNSUBSCRIBE: no publication has it

who = st.integers(0, CLIENTS - 1)
qoses = st.sampled_from((0, 1, 1, 2, 2))
topics = st.sampled_from(TOPICS)
rooms = st.sampled_from(ROOMS)
often = st.sampled_from((True, True, True, False))
seldom = st.sampled_from((False, False, False, True))
subscriptions = st.builds(
    Subscription,
    st.sampled_from(FILTERS),
    qoses,
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from((0, 0, 1, 2, 300)),
)
several = st.lists(subscriptions, min_size=1, max_size=3, unique_by=lambda asked: asked.filter)
wills = st.none() | st.tuples(topics, qoses, st.booleans())


class Clients(RuleBasedStateMachine):
    """`stand` is where they connect to."""

    stand: ClassVar[Stand]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.app = self.stand.new_app()
        self.peers: dict[str, Peer] = {}
        self.versions: dict[str, int] = {}
        self.open: dict[str, dict[int, Message]] = {}  # what clients have begun with QoS 2
        self.round = 0
        self.payloads = itertools.count(1)
        self.wills_before = self.stand.wills
        self.fencers = [self._fencer(room) for room in ROOMS]
        self.fencers[0].send(wire.publish(5, KEPT, b"here", 1, 1, retain=1))
        self.fencers[0].answer(wire.PUBACK, 1)

    def _fencer(self, room: str) -> Peer:
        peer = Peer(self.stand.ports[room], 5, f"fencer-{room}", room)
        peer.connect(self.app, self.stand.token(peer.name))
        self._ask_for_fences(peer)
        return peer

    @staticmethod
    def _ask_for_fences(peer: Peer) -> None:
        peer.send(wire.subscribe(peer.version, ASKING, (LIVE, 1)))
        assert peer.answer(wire.SUBACK, ASKING).reasons == [1]

    def teardown(self) -> None:
        for peer in (*self.peers.values(), *self.fencers):
            peer.socket.close()
        wills = sum(session.will is not None for session in self.model.connected())
        self.stand.told({}, self.wills_before + self.model.wills + wills)

    # --- who ----------------------------------------------------------------------------------------

    @initialize(
        given=st.tuples(*[st.tuples(st.sampled_from((4, 5)), rooms, often, st.booleans(), several)] * CLIENTS)
    )
    def begin(self, given: tuple[tuple[int, str, bool, bool, list[Subscription]], ...]) -> None:
        """All are there, and have subscribed to something."""
        for number, (version, room, kept, acknowledges, asked) in enumerate(given):
            client = f"c{number}"
            self.versions[client] = version
            self._connect(client, room, clean=not kept, kept=kept, acknowledges=acknowledges)
            self._subscribe(self.peers[client], asked)
        self.settle()

    def _there(self, number: int) -> Peer | None:
        """One of the clients that are connected."""
        peers = list(self.peers.values())
        return peers[number % len(peers)] if peers else None

    def _session(self, peer: Peer) -> Session:
        return self.model.sessions[peer.name]

    def _message(
        self,
        client: str,
        topic: str,
        qos: int,
        retain: bool,
        properties: tuple[Property, ...] = (),
        *,
        empty: bool = False,
    ) -> Message:
        payload = b"" if empty else b"%d" % next(self.payloads)
        properties = properties if self.versions[client] == 5 else ()
        return Message(payload, topic, qos, retain, client, properties, empty)

    # --- coming and going -----------------------------------------------------------------------------

    @rule(
        number=who,
        comes_back=often,
        room=rooms,
        clean=seldom,
        kept=often,
        will=wills,
        acknowledges=st.booleans(),
        aliases=st.sampled_from((0, 3)),
        again=st.booleans(),
    )
    def connect(
        self,
        number: int,
        comes_back: bool,
        room: str,
        clean: bool,
        kept: bool,
        will: tuple[str, int, bool] | None,
        acknowledges: bool,
        aliases: int,
        again: bool,
    ) -> None:
        """Takes over a connection that there is, unless one is away that `comes_back`.

        `again`: sends what it has begun with QoS 2 once more.
        """
        clients = [client for client in self.versions if comes_back and client not in self.peers]
        clients = clients or list(self.versions)
        client = clients[number % len(clients)]
        mourned = None if will is None else self._message(client, *will)
        present = self._connect(
            client,
            room,
            clean=clean,
            kept=kept if self.versions[client] == 5 else not clean,
            will=mourned,
            acknowledges=acknowledges,
            aliases=aliases,
        )
        if present and again:
            self._repeat(self.peers[client])
        self._told()
        self.settle()

    def _connect(
        self,
        client: str,
        room: str,
        *,
        clean: bool,
        kept: bool,
        will: Message | None = None,
        acknowledges: bool = True,
        aliases: int = 0,
    ) -> bool:
        version = self.versions[client]
        old = self.peers.pop(client, None)
        present = self.model.connect(client, version, clean=clean, kept=kept, will=will)
        session = self.model.sessions[client]
        peer = self.peers[client] = Peer(self.stand.ports[room], version, client, room)
        peer.acknowledges = acknowledges or session.shares
        peer.expecting = [one.id for one in session.unacknowledged]
        told: tuple[Property, ...] = ()
        if version == 5:
            told = ((wire.SESSION_EXPIRY, KEEPING),) if kept else ()
            told += ((wire.ALIAS_MAXIMUM, aliases),) if aliases else ()
        said = None
        if will is not None:
            said = wire.Will(will.topic, will.payload, will.qos, int(will.retain))
        connack = peer.connect(self.app, self.stand.token(client), clean=clean, will=said, properties=told)
        assert connack.session_present == present, (client, connack)
        if old is not None:
            old.until_ended()
            assert old.told == (SESSION_TAKEN_OVER if version == 5 else 0)
            assert not old.arrivals
        if not present:
            self.open[client] = {}
            self._ask_for_fences(peer)
        return present

    @rule(number=who, how=st.sampled_from(("good-bye", "with-will", "forget", "close", "abort")))
    def leave(self, number: int, how: str) -> None:
        peer = self._there(number)
        if peer is None:
            return
        del self.peers[peer.name]
        self._end(peer, how)

    @rule(
        number=who,
        room=rooms,
        how=st.sampled_from(("good-bye", "close", "abort", "taken-over")),
        acknowledges=st.booleans(),
        again=st.booleans(),
    )
    def flash(self, number: int, room: str, how: str, acknowledges: bool, again: bool) -> None:
        """The connection ends, and another begins where it was."""
        peer = self._there(number)
        if peer is None or not self._session(peer).kept:
            return
        if how != "taken-over":
            del self.peers[peer.name]
            self._end(peer, how)
        assert self._connect(peer.name, room, clean=False, kept=True, acknowledges=acknowledges)
        if again:
            self._repeat(self.peers[peer.name])
        self._told()
        self.settle()

    def _end(self, peer: Peer, how: str) -> None:
        if peer.version != 5 and how in ("with-will", "forget"):
            how = "good-bye"
        if how == "abort":
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.socket.close()
        else:
            if how == "with-will":
                peer.send(wire.disconnect(WITH_WILL))
            elif how == "forget":
                peer.send(wire.disconnect(0, (wire.SESSION_EXPIRY, 0)))
            elif how == "good-bye":
                peer.send(wire.GOOD_BYE)
            peer.socket.shutdown(socket.SHUT_WR)
            peer.until_ended()
            assert not peer.arrivals
        gone = how in ("good-bye", "forget")
        self.model.leave(peer.name, will=not gone, forget=how == "forget")
        if peer.name not in self.model.sessions:
            self.open[peer.name] = {}
        self._told()
        self.settle()

    def _told(self) -> None:
        connections = dict.fromkeys(ROOMS, 1)
        for peer in self.peers.values():
            connections[peer.room] += 1
        self.stand.told(connections, self.wills_before + self.model.wills)

    # --- subscriptions --------------------------------------------------------------------------------

    @rule(number=who, asked=several)
    def subscribe(self, number: int, asked: list[Subscription]) -> None:
        peer = self._there(number)
        if peer is not None:
            self._subscribe(peer, asked)
            self.settle()

    def _subscribe(self, peer: Peer, asked: list[Subscription]) -> None:
        plain = peer.version != 5
        identifier = 0 if plain else asked[0].id
        taken = [
            Subscription(one.filter, one.qos)
            if plain
            else Subscription(
                one.filter,
                one.qos,
                one.no_local and not one.group,
                one.as_published,
                one.handling,
                identifier,
            )
            for one in asked
            if not one.group or (not plain and peer.acknowledges)
        ]
        if not taken:
            return
        session = self._session(peer)
        fences = 1
        for one in taken:
            new = one.filter not in session.subscriptions
            if one.wants(KEPT) and not one.group and one.handling < 1 + new:
                fences += 1
            self.model.subscribe(peer.name, one)
        told: tuple[Property, ...] = ((wire.SUBSCRIPTION_ID, identifier),) if identifier else ()
        said = [
            (one.filter, one.qos | one.no_local << 2 | one.as_published << 3 | one.handling << 4)
            for one in taken
        ]
        before = peer.kept_fences
        peer.send(wire.subscribe(peer.version, ASKING, *said, properties=told))
        assert peer.answer(wire.SUBACK, ASKING).reasons == [one.qos for one in taken]
        peer.send(wire.subscribe(peer.version, ASKING, (KEPT, 0)))
        peer.answer(wire.SUBACK, ASKING)
        wait([peer], lambda: peer.kept_fences == before + fences, "all that is retained")

    @rule(number=who, which=st.integers(0, 9))
    def unsubscribe(self, number: int, which: int) -> None:
        peer = self._there(number)
        if peer is None:
            return
        known = [*self._session(peer).subscriptions, "home/b"]
        filter = known[which % len(known)]
        was = self.model.unsubscribe(peer.name, filter)
        peer.send(wire.unsubscribe(peer.version, ASKING, filter))
        reasons = peer.answer(wire.UNSUBACK, ASKING).reasons
        assert reasons == ([] if peer.version != 5 else [0 if was else 0x11]), (
            peer.name,
            peer.version,
            filter,
            was,
            reasons,
        )
        self.settle()

    # --- messages to the broker -----------------------------------------------------------------------

    @staticmethod
    def _publish(message: Message, version: int, id: int, *, dup: int = 0) -> bytes:
        return wire.publish(
            version,
            message.topic,
            message.payload,
            message.qos,
            id,
            retain=int(message.retain),
            dup=dup,
            properties=message.properties,
        )

    def _free(self, client: str, taken: set[int]) -> int:
        used = taken | set(self.open[client])
        return next(id for id in itertools.count(1) if id not in used)

    @rule(
        number=who,
        topic=topics,
        qos=qoses,
        retain=st.booleans(),
        empty=seldom,
        properties=st.sampled_from(PROPERTIES),
        finishes=often,
    )
    def publish(
        self,
        number: int,
        topic: str,
        qos: int,
        retain: bool,
        empty: bool,
        properties: tuple[Property, ...],
        finishes: bool,
    ) -> None:
        """`finishes`: the second half of QoS 2 follows at once."""
        peer = self._there(number)
        if peer is None:
            return
        message = self._message(peer.name, topic, qos, retain, properties, empty=empty and retain)
        self._send(peer, [message], finishes=finishes)
        self.settle()

    @rule(
        burst=st.lists(st.tuples(who, topics, qoses), min_size=2, max_size=6),
        finishes=often,
    )
    def burst(self, burst: list[tuple[int, str, int]], finishes: bool) -> None:
        """Several clients publish at once, each several messages."""
        by_peer: dict[str, list[Message]] = {}
        for number, topic, qos in burst:
            peer = self._there(number)
            if peer is not None:
                by_peer.setdefault(peer.name, []).append(self._message(peer.name, topic, qos, False))
        sent = [(self.peers[name], self._begin(self.peers[name], some)) for name, some in by_peer.items()]
        for peer, given in sent:
            self._finish(peer, given, finishes=finishes)
        self.settle()

    def _send(self, peer: Peer, messages: list[Message], *, finishes: bool) -> None:
        self._finish(peer, self._begin(peer, messages), finishes=finishes)

    def _begin(self, peer: Peer, messages: list[Message]) -> dict[int, tuple[Message, bool]]:
        """Sends them; returns them by identifier, with whether anybody wants them."""
        given: dict[int, tuple[Message, bool]] = {}
        data = []
        for message in messages:
            id = self._free(peer.name, set(given)) if message.qos else 0
            wanted = self.model.publish(message)
            if message.qos:
                given[id] = message, wanted
            data.append(self._publish(message, peer.version, id))
        peer.send(*data)
        return given

    def _finish(self, peer: Peer, given: dict[int, tuple[Message, bool]], *, finishes: bool) -> None:
        for id, (message, wanted) in given.items():
            reason = peer.answer(wire.PUBACK if message.qos == 1 else wire.PUBREC, id).reason
            assert reason == 0 or (reason == 0x10 and not wanted), (message, reason)
            if message.qos == 2:
                self.open[peer.name][id] = message
                if finishes:
                    self._release(peer, id)
        peer.ping()

    def _release(self, peer: Peer, id: int) -> None:
        del self.open[peer.name][id]
        peer.send(wire.answer(wire.PUBREL, id))
        assert peer.answer(wire.PUBCOMP, id).reason == 0

    @precondition(lambda self: any(self.open.values()))
    @rule(number=who)
    def release(self, number: int) -> None:
        peer = self._there(number)
        if peer is not None:
            for id in list(self.open[peer.name]):
                self._release(peer, id)
            self.settle()

    @rule(number=who, topic=topics, qos=qoses)
    def vanish(self, number: int, topic: str, qos: int) -> None:
        """Publishes, and is gone before the answer."""
        peer = self._there(number)
        if peer is None or self._session(peer).shares:  # a group's message may have been for itself
            return
        del self.peers[peer.name]
        given = self._begin(peer, [self._message(peer.name, topic, qos, False)])
        # Of the client's own subscriptions nothing comes that anybody reads.
        self.open[peer.name] |= {id: message for id, (message, _) in given.items() if qos == 2}
        self._vanish(peer)

    def _vanish(self, peer: Peer) -> None:
        peer.acknowledges = False
        peer.socket.shutdown(socket.SHUT_WR)
        peer.until_ended()
        session = self.model.sessions[peer.name]
        judge(self.model, [(session, peer.arrivals, False)], all_came=False)
        peer.arrivals = []
        self.model.leave(peer.name, will=True)
        if peer.name not in self.model.sessions:
            self.open[peer.name] = {}
        self._told()
        self.settle()

    @rule(number=who, room=rooms, topic=topics)
    def move_on(self, number: int, room: str, topic: str) -> None:
        """Publishes with QoS 2, connects without waiting, and publishes it again: it is taken once."""
        peer = self._there(number)
        if peer is None:
            return
        session = self._session(peer)
        if not session.kept or any(one.wants(topic) for one in session.subscriptions.values()):
            return  # or it may have read its own message, or not
        [(id, (message, _))] = self._begin(peer, [self._message(peer.name, topic, 2, False)]).items()
        self.open[peer.name][id] = message
        assert self._connect(peer.name, room, clean=False, kept=True)
        self._repeat(self.peers[peer.name])
        self._told()
        self.settle()

    def _repeat(self, peer: Peer) -> None:
        for id, message in self.open[peer.name].items():
            peer.send(self._publish(message, peer.version, id, dup=1))
            assert peer.answer(wire.PUBREC, id).reason in (0, 0x10)

    # --- messages from the broker ---------------------------------------------------------------------

    @rule(number=who)
    def withhold(self, number: int) -> None:
        """From now on it acknowledges nothing by itself."""
        peer = self._there(number)
        if peer is not None and not self._session(peer).shares:
            peer.acknowledges = False

    @precondition(lambda self: any(one.unacknowledged for one in self.model.connected()))
    @rule(number=who, count=st.integers(1, 4), completes=st.booleans(), refuses=seldom)
    def acknowledge(self, number: int, count: int, completes: bool, refuses: bool) -> None:
        """The oldest ones, in their order."""
        sessions = [session for session in self.model.connected() if session.unacknowledged]
        session = sessions[number % len(sessions)]
        peer = self.peers[session.client]
        for one in session.unacknowledged[:count]:
            if one.state is State.SENT:
                reason = 0x80 if refuses and peer.version == 5 else None
                peer.acknowledge(one.form.qos, one.id, reason)
                if one.form.qos == 1 or reason:
                    session.unacknowledged.remove(one)
                    continue
                one.state = State.RELEASED
                wait([peer], lambda: not peer.expecting, "PUBREL")
            if completes:
                peer.send(wire.answer(wire.PUBCOMP, one.id))
                session.unacknowledged.remove(one)
        self.settle()

    # --- what has come --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Compares, when all that is to come has come."""
        peers = [*self.peers.values(), *self.fencers]
        first = self.round + 1

        def fenced() -> bool:
            wanted = [(room, qos) for room in ROOMS for qos in (0, 1)]
            return all(peer.fences.get(key, 0) >= first for peer in peers for key in wanted)

        for _ in range(100):
            self.round += 1
            for fencer in self.fencers:
                payload = f"{fencer.room} {self.round}".encode()
                fencer.send(wire.publish(5, LIVE, payload), wire.publish(5, LIVE, payload, 1, 1))
            for fencer in self.fencers:
                fencer.answer(wire.PUBACK, 1)
            if see(peers, fenced, AGAIN):
                break
        assert fenced(), f"no fence {first}: {[(peer.name, peer.fences) for peer in peers]}"
        wait(peers, lambda: not any(peer.expecting for peer in peers), "PUBREL")
        for peer in peers:
            peer.ping()
        self.stand.idle()
        note(f"  settled: { {peer.name: len(peer.arrivals) for peer in peers} }")
        judge(
            self.model,
            [(self._session(peer), peer.arrivals, peer.acknowledges) for peer in self.peers.values()],
        )
        for peer in peers:
            assert not peer.answers, (peer.name, peer.answers)
            peer.arrivals = []
