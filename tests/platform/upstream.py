"""What devices of the machine send, and what is read of it: all of it, once, each device's in order."""

import time
from collections import defaultdict
from typing import Any, Final
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.conformance import wire
from tests.platform.asked import names, options, qualities
from tests.platform.base import Base
from tests.platform.expectations import Phone
from tests.platform.sessions import Line
from tests.waiting import WITHIN

ANSWERS: Final = "answers/"
CORRELATION: Final = b"\x00\xff7"
TOLD: Final = ("upstream", "receipt")


class Upstream(Base):
    """`told` is what devices have sent, with whether it must be there; `heard`, what one reader has read."""

    def __init__(self) -> None:
        super().__init__()
        self.hears[ANSWERS] = self.hear_answer
        self.cursor: str | None = None
        self.cursors: dict[str, None] = {}
        self.heard: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.told: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
        self.before: defaultdict[str, int] = defaultdict(int)  # of `told`, what was of earlier lives
        self.registrations: defaultdict[str, int] = defaultdict(int)

    @rule(name=names, qos=qualities, many=st.integers(1, 3))
    def tell(self, name: str, qos: int, many: int) -> None:
        for _ in range(many):
            if self.there(name) is not None:
                payload = f"told {uuid4().hex[:8]}"
                assert self.publish(name, "up/x", payload.encode(), qos) == 0
                self.told[name].append((payload, qos > 0))
        self.check()

    @precondition(lambda self: self.expected.sent)
    @rule(name=names, number=st.integers(0, 100), qos=qualities, word=st.sampled_from(("shown", "opened")))
    def report(self, name: str, number: int, qos: int, word: str) -> None:
        """An application tells what became of a push."""
        if self.there(name) is not None:
            sent = list(self.expected.sent.values())[number % len(self.expected.sent)]
            payload = f"told {uuid4().hex[:8]}"
            assert self.publish(name, f"event/{sent.id}/{word}", payload.encode(), qos) == 0
            self.told[name].append((payload, qos > 0))
        self.check()

    @rule(name=names)
    def ask(self, name: str) -> None:
        """A device sends what wants an answer."""
        line = self.there(name)
        if line is not None and line.version == 5:
            payload = f"told {uuid4().hex[:8]}"
            properties = ((wire.RESPONSE_TOPIC, f"{ANSWERS}{name}"), (wire.CORRELATION, CORRELATION))
            assert self.publish(name, "up/question", payload.encode(), 1, properties) == 0
            self.told[name].append((payload, True))
            self.read_events()
            (asked,) = [event for event in self.heard[name] if event.get("payload") == payload]
            self.expected.asked[asked["reply_to"]] = self.expected.phones[name].who
        self.check()

    @precondition(lambda self: self.expected.asked)
    @rule(number=st.integers(0, 100), asked=options)
    def answer(self, number: int, asked: dict[str, Any]) -> None:
        """What was asked is answered, late perhaps, or again."""
        word = list(self.expected.asked)[number % len(self.expected.asked)]
        self.send(self.message({"reply": word}, asked))
        self.check()

    def hear_answer(self, name: str, line: Line, packet: wire.Packet) -> None:
        sent = self.expected.by_payload.get(packet.payload.decode())
        self.arrived(name, self.expected.phones[name], packet, sent)
        assert packet.topic == f"{ANSWERS}{name}", packet
        assert line.version == 4 or packet.get(wire.CORRELATION) == CORRELATION, packet

    def registered(self, phone: Phone) -> None:
        super().registered(phone)
        self.registrations[phone.name] += 1
        self.before[phone.name] = len(self.told[phone.name])

    # --- the reader ---------------------------------------------------------------------------------

    def read_events(self) -> None:
        """Reads on until there is nothing more; no event comes twice, and each device's are in order."""
        while True:
            query = "" if self.cursor is None else f"&cursor={self.cursor}"
            page = self.call("GET", f"/upstream?limit=100{query}").json()
            assert not page["gap"], page
            for event in page["events"]:
                assert event["cursor"] not in self.cursors, event
                self.cursors[event["cursor"]] = None
                self._hear(event)
            self.cursor = page["next_cursor"]
            if not page["events"]:
                return

    def _hear(self, event: dict[str, Any]) -> None:
        earlier = self.heard[event["device"]]
        if event["type"] == "presence":
            latest = next((each for each in reversed(earlier) if each["type"] == "presence"), None)
            assert latest is None or event["sequence"] > latest["sequence"], (latest, event)
        if event["type"] == "device":
            latest = next((each for each in reversed(earlier) if each["type"] == "device"), None)
            twice = latest is not None and latest["state"] == event["state"] == "registered"
            assert not twice, (latest, event)
        earlier.append(event)

    def check(self) -> None:
        super().check()
        self.read_events()
        for name, told in self.told.items():
            self._compare(name, told, self.heard[name])

    @staticmethod
    def _compare(name: str, told: list[tuple[str, bool]], events: list[dict[str, Any]]) -> None:
        """What was acknowledged is there, and nothing else but what was said without asking for that."""
        heard = [event["payload"] for event in events if event["type"] in TOLD]
        assert heard == [said for said, surely in told if surely or said in heard], (name, told, heard)

    def finish(self) -> None:
        """Devices' own events come; who reads from the beginning then hears nothing of those deleted."""
        super().finish()
        for name, phone in self.expected.phones.items():
            states = self._states_of(name)
            assert states.count("registered") <= self.registrations[name], (name, states)
            assert states.count("deleted") <= phone.life, (name, states)
        deadline = time.monotonic() + WITHIN
        while not self._changes_heard():
            assert time.monotonic() < deadline, self.heard
            self.take(0.02)
        for name, phone in self.expected.phones.items():
            self._compare(
                name, self.told[name][self.before[name] :] if phone.registered else [], self.heard[name]
            )

    def _changes_heard(self) -> bool:
        """Whether each device's end of its life before, and beginning of this one, are all that is told."""
        self.cursor, self.cursors, self.heard = None, {}, defaultdict(list)
        self.read_events()
        return all(
            self._states_of(name) == ["deleted"] * bool(phone.life) + ["registered"] * phone.registered
            for name, phone in self.expected.phones.items()
        )

    def _states_of(self, name: str) -> list[str]:
        return [event["state"] for event in self.heard[name] if event["type"] == "device"]
