"""Devices of another app in the machine, which share connections: each is as on a connection of its own."""

import json
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.conformance import wire
from tests.model.peer import wait
from tests.platform.asked import names, options
from tests.platform.base import GAP, PUSH, Base, Side
from tests.platform.sessions import Line

ATTACH: Final = "$link/attach"
DETACH: Final = "$link/detach"
REPLY: Final = "$link/reply"
GUESTS: Final = ("g0", "g1")

guests = st.sampled_from(GUESTS)
some_guests = st.lists(guests, min_size=1, max_size=2, unique=True)


class Attached(Base):
    """`shared`: whose connection a device of the other app shares, by that connection's device."""

    def __init__(self) -> None:
        super().__init__()
        self.other: Side | None = None
        self.shared: dict[str, str] = {}
        self.hears["@"] = self.hear_guest
        self.hears[REPLY] = self.hear_reply

    @rule(name=names, guest=guests)
    def attach(self, name: str, guest: str) -> None:
        """It takes over where it is attached already; one more of its app is refused."""
        self.take()
        line = self.there(name)
        if line is None:
            return
        if self.other is None:
            self.other = Side(self.stand, GUESTS)
        said = self.ask_link(
            name, ATTACH, {"app": self.other.app, "device": guest, "token": self.other.token(guest)}
        )
        if self.shared.get(name, guest) != guest:
            assert (said["status"], said["code"]) == ("refused", "app_attached"), said
        else:
            assert said["status"] == "attached", said
            if name not in self.shared:
                self.taken_over(guest)
                self.shared[name] = guest
                self.begins(self.other, self.other.expected.phones[guest])
                self.note_known(self.other)
                self.other.expected.phones[guest].registered = True
        self.check()

    @rule(name=names)
    def detach(self, name: str) -> None:
        self.take()
        if self.there(name) is None or self.other is None:
            return
        said = self.ask_link(name, DETACH, {"app": self.other.app})
        self.look_at(name, self.peers[name])
        if name in self.shared:
            assert said["status"] == "detached", said
            self.parted(name)
        else:
            assert (said["status"], said["code"]) == ("refused", "not_attached"), said
        self.check()

    @precondition(lambda self: self.other is not None)
    @rule(found=some_guests, asked=options, everyone=st.booleans())
    def push_to_guests(self, found: list[str], asked: dict[str, Any], everyone: bool) -> None:
        self.send(self.message("all" if everyone else {"devices": found}, asked), side=self.other)
        self.check()

    @precondition(lambda self: self.other is not None)
    @rule(guest=guests)
    def delete_guest(self, guest: str) -> None:
        assert self.other is not None
        self.take()
        phone = self.other.expected.phones[guest]
        answer = self.call("DELETE", f"/devices/{guest}", side=self.other)
        assert answer.status_code == (204 if phone.registered else 404), answer.text
        self.taken_over(guest)
        if phone.registered:
            self.other.expected.delete(guest)
        self.check()

    def ask_link(self, name: str, topic: str, request: dict[str, str]) -> dict[str, Any]:
        """What is answered on `$link/reply` to a request there."""
        line = self.peers[name]
        seen = len(line.arrivals)
        assert self.publish(name, topic, json.dumps(request).encode()) == 0

        def answers() -> list[dict[str, Any]]:
            told = [json.loads(packet.payload) for packet in line.arrivals[seen:] if packet.topic == REPLY]
            return [each for each in told if "request" in each]

        wait([line], lambda: bool(answers()), f"an answer to {topic}")
        return answers()[0]

    def taken_over(self, guest: str) -> None:
        """Where a device was attached, that ends, and its connection is told."""
        for name in [name for name, there in self.shared.items() if there == guest]:
            line = self.peers[name]

            def told(name: str = name, line: Line = line) -> bool:
                self.look_at(name, line)
                return name not in self.shared or line.ended

            wait([line], told, f"that {guest} is not attached to {name} any more", alive=False)

    def parted(self, name: str) -> None:
        """What was not acknowledged for an app that is not attached any more comes again elsewhere."""
        assert self.other is not None
        guest = self.other.expected.phones[self.shared.pop(name)]
        self.unacked[name] = [taken for taken in self.unacked[name] if taken.phone is not guest]

    def gone(self, name: str) -> None:
        super().gone(name)
        self.shared.pop(name, None)

    def hear_reply(self, name: str, line: Line, packet: wire.Packet) -> None:
        if json.loads(packet.payload)["status"] == "ended":
            self.parted(name)

    def hear_guest(self, name: str, line: Line, packet: wire.Packet) -> None:
        assert self.other is not None
        head, _, topic = packet.topic.partition("/")
        assert head == f"@{self.other.app}"
        if topic == GAP:
            line.acknowledge(packet.qos, packet.id)
            return
        expected = self.other.expected
        sent = expected.sent.get(topic.removeprefix(PUSH))
        self.arrived(name, expected.phones[self.shared[name]], packet, sent)

    def side_of(self, name: str) -> Side:
        if name in GUESTS:
            assert self.other is not None
            return self.other
        return super().side_of(name)

    def sides(self) -> list[Side]:
        return super().sides() if self.other is None else [*super().sides(), self.other]

    def check(self) -> None:
        super().check()
        if self.other is not None:
            self.check_side(self.other)

    def come_all(self) -> None:
        """Those of the other app come with connections of their own."""
        super().come_all()
        if self.other is not None:
            for guest, phone in self.other.expected.phones.items():
                if phone.registered:
                    self.connect_to(self.other, guest, 5)
