"""What every subject of the machine has: an app, its devices' connections, what must hold after a step."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from uuid import uuid4

import httpx
import jwt
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from tests.conformance import wire
from tests.model.peer import see
from tests.platform.asked import aliases, names, tags
from tests.platform.expectations import DEVICES, Expected, Phone, Sent
from tests.platform.sessions import Line
from tests.platform.stand import Stand

GAP: Final = "$link/gap"
MOVED: Final = "$link/moved"
PUSH: Final = "push/"
NOW: Final = 0.001  # s: what is there already
NO_ANSWER: Final = 504  # of a device
REFUSED: Final = 0x80  # reason codes from here on
KEPT_FOR: Final = 3600  # s for which a session is kept
LAST_ID: Final = 65535  # of packets

Hear = Callable[[str, Line, wire.Packet], None]


@dataclass
class Taken:
    """What has come by a connection for `phone`, and is not acknowledged; `then` is done when it is."""

    packet: wire.Packet
    phone: Phone
    then: Callable[[], object]


class Side:
    """An app: its key for devices, and what is expected of it."""

    def __init__(self, stand: Stand, names: Iterable[str]) -> None:
        self.app, self.secret = stand.new_app()
        self.expected = Expected(names)

    def token(self, name: str) -> str:
        return jwt.encode({"sub": name}, self.secret, algorithm="HS256")


class Base(RuleBasedStateMachine):
    """`stand` is the node; `slow` sequences may also wait, and kill.

    A subject that is told something on a topic of its own has it in `hears`, by the beginning of the topic.
    """

    stand: ClassVar[Stand]
    slow: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.side = Side(self.stand, DEVICES)
        self.expected = self.side.expected
        self.peers: dict[str, Line] = {}
        self.read: dict[str, int] = {}  # of each connection, how many of its arrivals were looked at
        self.unacked: defaultdict[str, list[Taken]] = defaultdict(list)
        self.latest: dict[tuple[str, str], int] = {}  # of a device and a priority, by its connection
        self.had: dict[str, set[str]] = {}  # what a device got by its connection
        self.over: dict[str, set[str]] = {}  # what it is not to get by that any more
        self.hears: dict[str, Hear] = {GAP: self.hear_gap, MOVED: self.hear_moved, PUSH: self.hear_push}
        self.packet_ids = 0

    @initialize(
        found=st.lists(
            st.tuples(names, tags, aliases, st.integers(0, 4)), min_size=3, unique_by=lambda each: each[0]
        ),
        coming=st.dictionaries(names, st.tuples(st.sampled_from((4, 5)), st.booleans()), min_size=2),
    )
    def begin(
        self, found: list[tuple[str, list[str], list[str], int]], coming: dict[str, tuple[int, bool]]
    ) -> None:
        """Most devices are registered, and some are there."""
        for name, of_tags, of_aliases, number in found:
            self.put(name, of_tags, of_aliases, number)
        for name, (version, keep) in coming.items():
            self.connect(name, version, keep=keep)

    # --- the API ------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        side: Side | None = None,
    ) -> httpx.Response:
        path = f"/v1/apps/{(side or self.side).app}{path}"
        answer = self.stand.http.request(method, path, json=body, headers=headers)
        assert answer.status_code in (NO_ANSWER, *range(500)), f"{method} {path}: {answer.text}"
        return answer

    def put(self, name: str, of_tags: list[str], of_aliases: list[str], number: int) -> None:
        body = {"tags": of_tags, "aliases": of_aliases, "attributes": {"n": number}}
        phone = self.expected.phones[name]
        answer = self.call("PUT", f"/devices/{name}", body)
        assert answer.status_code == (200 if phone.registered else 201), answer.text
        if not phone.registered:
            self.registered(phone)
        phone.number, phone.tags, phone.aliases = number, frozenset(of_tags), frozenset(of_aliases)

    def registered(self, phone: Phone) -> None:
        """A device was registered: it has nothing of what an earlier one of its name had.

        What was sent for later may be sent by now.
        """
        phone.registered = True
        if phone.life:
            path = f"/devices/{phone.name}"
            pending = self.call("GET", path).json()["pending"]
            listed = [row["message_id"] for row in self.call("GET", f"{path}/messages").json()["messages"]]
            assert all(self.expected.sent[id].later for id in listed), listed
            assert pending <= len(listed), (pending, listed)
            shadow = self.call("GET", f"{path}/shadow").json()
            assert shadow == {"desired": {}, "reported": {}, "version": 0}, shadow

    def send(
        self,
        body: dict[str, Any],
        *,
        later: bool = False,
        key: str | None = None,
        side: Side | None = None,
    ) -> Sent | None:
        """Sends a message; None where it is for nobody."""
        expected = (side or self.side).expected
        headers = None if key is None else {"Idempotency-Key": key}
        answer = self.call("POST", "/messages", body, headers, side=side)
        targets, missing = expected.audience(body["audience"])
        if answer.status_code == 404 and not later:
            assert not targets, f"{answer.text}, though it is for {targets}"
            return None
        assert answer.status_code == 202, answer.text
        said = answer.json()
        if not later:
            assert said["targeted"] == len(targets) + missing, (said, targets, missing)
        if said["message_id"] in expected.sent:
            assert answer.headers["Idempotent-Replayed"] == "true"
            return expected.sent[said["message_id"]]
        return expected.accept(said["message_id"], body, later=later)

    @staticmethod
    def message(audience: Any, asked: dict[str, Any]) -> dict[str, Any]:
        return {"audience": audience, "payload": f"payload {uuid4().hex[:8]}", "options": asked}

    # --- connections --------------------------------------------------------------------------------

    def there(self, name: str) -> Line | None:
        """The connection of a device, if it has one."""
        line = self.peers.get(name)
        if line is not None and line.ended:
            self.gone(name)
            return None
        return line

    def gone(self, name: str) -> None:
        """A connection is over: what came by it is looked at, and is not acknowledged any more."""
        line = self.peers[name]
        self.look_at(name, line)
        del self.peers[name]
        line.socket.close()
        self.unacked[name] = []

    def until_gone(self, name: str) -> None:
        """The server ends a connection."""
        self.peers[name].until_ended()
        self.gone(name)

    def connect(self, name: str, version: int, *, keep: bool = False) -> None:
        """A device connects, in place of the connection that it has; `keep`: its session outlives it."""
        self.connect_to(self.side, name, version, keep=keep)
        phone = self.expected.phones[name]
        if not phone.registered:
            phone.tags, phone.aliases, phone.number = frozenset(), frozenset(), None
            self.registered(phone)

    def connect_to(self, side: Side, name: str, version: int, *, keep: bool = False) -> None:
        before = self.there(name)
        phone = side.expected.phones[name]
        line = Line(self.stand.mqtt_port, version, name, phone.session)
        if before is not None:
            self.gone(name)
        self.begins(side, phone)
        self.read[name] = 0
        self.note_known(side)
        properties = ((wire.SESSION_EXPIRY, KEPT_FOR),) if keep and version == 5 else ()
        phone.session.begin(keep=keep)
        told = line.connect(side.app, side.token(name).encode(), clean=not keep, properties=properties)
        phone.session.begun(present=told.session_present)
        self.peers[name] = line

    def begins(self, side: Side, phone: Phone) -> None:
        """A device has a connection on which it has got nothing, and gets nothing that is over for it."""
        self.over[phone.name] = {sent.id for sent in side.expected.sent.values() if sent.is_over(phone.who)}
        self.latest = {of: at for of, at in self.latest.items() if of[0] != phone.name}
        self.had[phone.name] = set()

    def publish(
        self,
        name: str,
        topic: str,
        payload: bytes,
        qos: int = 1,
        properties: tuple[wire.Property, ...] = (),
    ) -> int:
        """A device publishes, and waits until that was taken; the reason code that it was told."""
        line = self.peers[name]
        if not qos:
            line.send(wire.publish(line.version, topic, payload, properties=properties))
            line.ping()
            return 0
        self.packet_ids = id = self.packet_ids % LAST_ID + 1
        line.send(wire.publish(line.version, topic, payload, qos, id, properties=properties))
        answer = line.answer(wire.PUBACK if qos == 1 else wire.PUBREC, id)
        if qos == 2 and answer.reason < REFUSED:
            line.send(wire.answer(wire.PUBREL, id))
            line.answer(wire.PUBCOMP, id)
        return answer.reason

    # --- what arrives -------------------------------------------------------------------------------

    def take(self, within: float = NOW) -> None:
        """Reads what has come to devices, and looks at it."""
        lines = [line for line in self.peers.values() if not line.ended]
        if lines:
            see(lines, lambda: any(line.ended for line in lines), within, alive=False)
        for name, line in list(self.peers.items()):
            self.look_at(name, line)
            if line.ended:
                self.gone(name)

    def look_at(self, name: str, line: Line) -> None:
        """Whoever hears a topic looks at what has come."""
        while self.read[name] < len(line.arrivals):
            packet = line.arrivals[self.read[name]]
            self.read[name] += 1
            hear = next((hear for start, hear in self.hears.items() if packet.topic.startswith(start)), None)
            assert hear is not None, f"{name} got something on {packet.topic}"
            hear(name, line, packet)

    def hear_gap(self, name: str, line: Line, packet: wire.Packet) -> None:
        line.acknowledge(packet.qos, packet.id)

    def hear_moved(self, name: str, line: Line, packet: wire.Packet) -> None:
        """A node that stops says where to go: one that was killed may count as such a place for a while."""
        assert line.version == 4, f"{name} got {packet.topic}, though there is DISCONNECT in its version"
        line.acknowledge(packet.qos, packet.id)

    def hear_push(self, name: str, line: Line, packet: wire.Packet) -> None:
        side = self.side_of(name)
        sent = side.expected.sent.get(packet.topic.removeprefix(PUSH))
        self.arrived(name, side.expected.phones[name], packet, sent)

    def side_of(self, name: str) -> Side:
        """The app of a connection."""
        return self.side

    def arrived(self, name: str, phone: Phone, packet: wire.Packet, sent: Sent | None) -> None:
        """What came by the connection of `name` was meant for `phone`, comes in order, and once by it."""
        assert sent is not None, f"{name}: {packet.topic}, {packet.payload!r} was never accepted"
        assert packet.payload.decode() == sent.payload
        who = phone.who
        if not sent.later:
            assert who in sent.targets, f"{phone.name} got {sent.id}, which is not for it"
        assert who not in sent.known, f"{who} got {sent.id} again, which it was told to have acknowledged"
        assert sent.id not in self.had[phone.name], f"{who} got {sent.id} twice by one connection"
        assert sent.id not in self.over[phone.name], f"{who} got {sent.id}, which was taken back"
        self.had[phone.name].add(sent.id)
        self.check_order(phone, sent)
        if packet.qos:
            self.unacked[name].append(Taken(packet, phone, lambda: sent.acked.add(who)))
        else:
            sent.acked.add(who)

    def check_order(self, phone: Phone, sent: Sent) -> None:
        """By a connection: in the order accepted, within a priority."""
        if sent.order is None or sent.fleeting:
            return  # what is sent later is accepted then; what is for now is not kept in line with what waits
        latest = self.latest.get((phone.name, sent.priority), -1)
        assert sent.order > latest, f"{phone.name}: {sent.id}, number {sent.order}, after number {latest}"
        self.latest[phone.name, sent.priority] = sent.order

    def acknowledge(self, name: str, many: int) -> None:
        """The first of what a device has not acknowledged."""
        line = self.there(name)
        if line is None:
            return
        for taken in self.unacked[name][:many]:
            line.acknowledge(taken.packet.qos, taken.packet.id)
            taken.then()
        del self.unacked[name][:many]

    def acknowledge_all(self) -> None:
        for name in list(self.peers):
            self.acknowledge(name, len(self.unacked[name]))

    # --- what must hold -----------------------------------------------------------------------------

    def ledgers(self, side: Side | None = None) -> dict[str, dict[str, Any]]:
        """Of all messages of an app that have one; each balances."""
        found: dict[str, dict[str, Any]] = {}
        path: str | None = "/messages?limit=100"
        while path is not None:
            page = self.call("GET", path, side=side).json()
            for each in page["messages"]:
                ledger = found[each["message_id"]] = each["ledger"]
                outcomes = ledger["pending"] + ledger["acked"] + ledger["expired"] + ledger["collapsed"]
                assert ledger["targeted"] == outcomes + sum(ledger["dropped"].values()), each
            cursor = page["next_cursor"]
            path = None if cursor is None else f"/messages?limit=100&cursor={cursor}"
        return found

    def note_known(self, side: Side) -> None:
        """Notes whose acknowledgements the ledger has: who connects after that does not get these again."""
        for sent in side.expected.sent.values():
            if sent.acked - sent.known:
                for row in self.rows(sent, side):
                    who = side.expected.phones[row["device"]].who
                    if row["state"] == "acked" and who in sent.acked:
                        sent.known.add(who)

    def rows(self, sent: Sent, side: Side) -> list[dict[str, Any]]:
        answer = self.call("GET", f"/messages/{sent.id}/deliveries?limit=100", side=side)
        return list(answer.json()["deliveries"]) if answer.status_code == 200 else []

    def check(self) -> None:
        """After each step."""
        self.take()
        self.check_side(self.side)

    def check_side(self, side: Side) -> None:
        """Ledgers are what they should be, and an audit finds no difference."""
        found = self.ledgers(side)
        for sent in side.expected.sent.values():
            ledger = found.get(sent.id)
            assert sent.later or ledger is not None, f"{sent.id} was accepted and is not listed"
            if ledger is not None and not sent.later:
                assert ledger["targeted"] == len(sent.targets) + sent.missing, (sent, ledger)
                assert ledger["dropped"].get("device_not_found", 0) == sent.missing, (sent, ledger)
        differences = self.stand.differences(side.app)
        assert not differences, differences

    def sides(self) -> list[Side]:
        """All apps that there are."""
        return [self.side]

    def settle(self) -> None:
        """A subject ends what would go on, before all devices come."""

    def come_all(self) -> None:
        """All devices come."""
        for name, phone in self.expected.phones.items():
            if phone.registered:
                self.connect(name, 5)

    def finish(self) -> None:
        """A subject looks at what has become of its own, once all have come and nothing is pending."""
