"""Messages of the machine, of every kind: one by one, in batches, again under one key, and taken back."""

from typing import Any
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.platform.asked import audiences, names, options
from tests.platform.base import Base


class Sending(Base):
    @rule(audience=audiences, asked=options)
    def push(self, audience: Any, asked: dict[str, Any]) -> None:
        self.send(self.message(audience, asked))
        self.check()

    @rule(name=names, many=st.integers(2, 5), asked=options)
    def push_many(self, name: str, many: int, asked: dict[str, Any]) -> None:
        """More than fit into a device's window."""
        for _ in range(many):
            self.send(self.message({"devices": [name]}, asked))
        self.check()

    @rule(asked=st.lists(st.tuples(audiences, options), min_size=2, max_size=4))
    def push_batch(self, asked: list[tuple[Any, dict[str, Any]]]) -> None:
        bodies = [self.message(audience, options) for audience, options in asked]
        answer = self.call("POST", "/messages:batch", {"messages": bodies})
        assert answer.status_code == 202, answer.text
        for body, result in zip(bodies, answer.json()["results"], strict=True):
            targets, _ = self.expected.audience(body["audience"])
            if targets:
                self.expected.accept(result["message_id"], body)
            else:
                assert result["error"]["code"] == "no_target", result
        self.check()

    @rule(audience=audiences, asked=options)
    def push_again(self, audience: Any, asked: dict[str, Any]) -> None:
        """The same request twice: it is one message."""
        body, key = self.message(audience, asked), uuid4().hex
        first = self.send(body, key=key)
        if first is not None:
            assert self.send(body, key=key) is first
        self.check()

    @precondition(lambda self: self.expected.sent)
    @rule(number=st.integers(0, 100))
    def cancel(self, number: int) -> None:
        sent = list(self.expected.sent.values())[number % len(self.expected.sent)]
        answer = self.call("DELETE", f"/messages/{sent.id}")
        assert answer.status_code == 200, answer.text
        sent.cancelled = True
        self.check()
