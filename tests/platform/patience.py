"""Devices of the machine that take messages and acknowledge none: they are slowed, parked, and freed."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.platform.asked import names
from tests.platform.base import Base


class Patience(Base):
    @rule(name=names, times=st.integers(2, 4))
    def stay_silent(self, name: str, times: int) -> None:
        """A device comes again and again, and says nothing but that it is there."""
        self.send(self.message({"devices": [name]}, {}))
        for _ in range(times):
            self.connect(name, 5)
            self.peers[name].ping()
            self.take(0.01)
        self.check()

    @rule(name=names)
    def release(self, name: str) -> None:
        """An operator has a device sent pushes again."""
        answer = self.call("POST", f"/devices/{name}:release")
        phone = self.expected.phones[name]
        assert answer.status_code == (204 if phone.registered else 404), answer.text
        if phone.registered:
            assert self.call("GET", f"/devices/{name}").json()["parked"] is False
        self.check()

    def settle(self) -> None:
        """Who is parked is freed; where there is time, it frees itself by an acknowledgement."""
        super().settle()
        for side in self.sides():
            for name, phone in side.expected.phones.items():
                if phone.registered and not self.slow:
                    self.call("POST", f"/devices/{name}:release", side=side)
