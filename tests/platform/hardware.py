"""Smart hardware of the machine: shadows, which devices see, and calls, which they answer."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.conformance import wire
from tests.model.peer import see
from tests.platform.asked import names
from tests.platform.base import PUSH, Base, Taken
from tests.platform.sessions import Line
from tests.waiting import WITHIN

DESIRED: Final = "shadow/desired"
CALL: Final = {"online_only": True, "priority": "high"}  # what a call is as a push
PATIENCE: Final = 1  # s for which the caller waits

fields = st.sampled_from(("a", "b"))
values = st.sampled_from((None, 1, 2))


class Hardware(Base):
    def __init__(self) -> None:
        super().__init__()
        self.hears[DESIRED] = self.hear_desired

    @rule(name=names, field=fields, value=values, version=st.sampled_from((None, 0, 1)))
    def desire(self, name: str, field: str, value: int | None, version: int | None) -> None:
        """An app server changes what is desired, or, of another version than there is, does not."""
        shadow = self.expected.phones[name].shadow
        headers = None if version is None else {"If-Match": f'"{version}"'}
        answer = self.call("PATCH", f"/devices/{name}/shadow", {"desired": {field: value}}, headers)
        if not self.expected.phones[name].registered:
            assert answer.status_code == 404, answer.text
        elif version not in (None, shadow.version):
            assert answer.status_code == 409, answer.text
        else:
            assert answer.status_code == 200, answer.text
            shadow.desire({field: value})
        self.check_shadow(name)
        self.check()

    @rule(name=names, field=fields, value=values, qos=st.sampled_from((1, 2)))
    def report_state(self, name: str, field: str, value: int | None, qos: int) -> None:
        """A device says how it is."""
        if self.there(name) is not None:
            assert self.publish(name, "shadow/reported", json.dumps({field: value}).encode(), qos) == 0
            self.expected.phones[name].shadow.report({field: value})
            self.check_shadow(name)
        self.check()

    def check_shadow(self, name: str) -> None:
        phone = self.expected.phones[name]
        if phone.registered:
            found = self.call("GET", f"/devices/{name}/shadow").json()
            wanted = phone.shadow
            assert (found["desired"], found["reported"]) == (wanted.desired, wanted.reported), (name, found)
            assert found["version"] == wanted.version, (name, found, wanted.version)

    def hear_desired(self, name: str, line: Line, packet: wire.Packet) -> None:
        phone = self.expected.phones[name]
        said = dict(value for value in packet.all(wire.USER) if isinstance(value, tuple))
        version = int(said["version"]) if line.version == 5 else None
        at = phone.shadow.comes(json.loads(packet.payload), version)

        def seen() -> None:
            phone.shadow.seen = max(phone.shadow.seen, at)

        self.unacked[name].append(Taken(packet, phone, seen))

    @rule(name=names)
    def call_device(self, name: str) -> None:
        """A command that the device answers; it does not get it where it has much to acknowledge."""
        self.take()
        line, phone = self.there(name), self.expected.phones[name]
        if line is None or self.unacked[name]:
            return
        payload, done = f"call {uuid4().hex[:8]}", f"done {uuid4().hex[:8]}"
        body = {"payload": payload, "timeout": PATIENCE}
        with ThreadPoolExecutor(1) as pool:
            calling = pool.submit(self.call, "POST", f"/devices/{name}:call", body)

            def asked() -> list[wire.Packet]:
                return [packet for packet in line.arrivals if packet.payload == payload.encode()]

            deadline = time.monotonic() + WITHIN
            while not asked() and not calling.done() and time.monotonic() < deadline:
                see([line], lambda: bool(asked()), 0.02)
            if asked():
                id = asked()[0].topic.removeprefix(PUSH)
                self.publish(name, f"reply/{id}", done.encode())
            answer = calling.result()
        listed = self.call("GET", "/messages?limit=1").json()["messages"]
        message: dict[str, Any] = {"audience": {"devices": [name]}, "payload": payload, "options": CALL}
        if answer.status_code != 409:
            self.expected.accept(listed[0]["message_id"], message)
        if asked():
            assert answer.status_code in (200, 504), answer.text
            assert answer.status_code == 504 or answer.json()["payload"] == done, answer.text
        else:
            assert answer.status_code in (409, 504), answer.text
            assert phone.registered
        self.check()

    def finish(self) -> None:
        """Each device has seen the latest of what is desired."""
        super().finish()
        deadline = time.monotonic() + WITHIN
        for name, phone in self.expected.phones.items():
            while phone.registered and phone.shadow.seen < phone.shadow.latest:
                assert time.monotonic() < deadline, f"{name} was not told of {phone.shadow.desired}"
                self.take(0.01)
                self.acknowledge_all()
            self.check_shadow(name)
