"""Devices of the machine: they are registered, changed, deleted; come, go, and acknowledge, or do not."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.conformance import wire
from tests.platform.asked import aliases, names, options, tags
from tests.platform.base import Base


class Devices(Base):
    @rule(name=names, of_tags=tags, of_aliases=aliases, number=st.integers(0, 4))
    def register(self, name: str, of_tags: list[str], of_aliases: list[str], number: int) -> None:
        self.put(name, of_tags, of_aliases, number)
        self.check()

    @rule(name=names, of_tags=tags)
    def change(self, name: str, of_tags: list[str]) -> None:
        phone = self.expected.phones[name]
        answer = self.call("PATCH", f"/devices/{name}", {"tags": of_tags})
        assert answer.status_code == (200 if phone.registered else 404), answer.text
        if phone.registered:
            phone.tags = frozenset(of_tags)
        self.check()

    @rule(name=names)
    def delete(self, name: str) -> None:
        """What it had goes with it; a later one of its name has none of that."""
        phone = self.expected.phones[name]
        self.take()
        answer = self.call("DELETE", f"/devices/{name}")
        assert answer.status_code == (204 if phone.registered else 404), answer.text
        if name in self.peers:
            self.until_gone(name)
        if phone.registered:
            self.expected.delete(name)
        self.check()

    @rule(name=names, version=st.sampled_from((4, 5)), keep=st.booleans())
    def come(self, name: str, version: int, keep: bool) -> None:
        self.connect(name, version, keep=keep)
        self.check()

    @rule(name=names, asked=options)
    def flash(self, name: str, asked: dict[str, Any]) -> None:
        """A connection breaks with something on it; the device is right back, in the session that it kept."""
        line = self.there(name)
        if line is not None:
            self.send(self.message({"devices": [name]}, asked))
            self.take(0.01)
            line.socket.close()
            self.connect(name, line.version, keep=line.session.kept)
            self.take(0.01)
        self.check()

    @rule(name=names, politely=st.booleans())
    def go(self, name: str, politely: bool) -> None:
        self.take()
        line = self.there(name)
        if line is not None:
            if politely:
                line.send(wire.disconnect(0) if line.version == 5 else wire.GOOD_BYE)
            self.gone(name)
        self.check()

    @rule(name=names)
    def kick(self, name: str) -> None:
        """An app server ends a connection."""
        self.take()
        phone = self.expected.phones[name]
        answer = self.call("DELETE", f"/devices/{name}/connection")
        assert answer.status_code == (204 if phone.registered else 404), answer.text
        if name in self.peers:
            self.until_gone(name)
        self.check()

    @rule(name=names, many=st.integers(1, 5))
    def take_some(self, name: str, many: int) -> None:
        """A device acknowledges some of what it got, and does not say more until its PINGREQ is answered."""
        self.take()
        self.acknowledge(name, many)
        line = self.there(name)
        if line is not None:
            line.ping()
        self.check()

    @rule()
    def take_all(self) -> None:
        self.take(0.01)
        self.acknowledge_all()
        self.check()
