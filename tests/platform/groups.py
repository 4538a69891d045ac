"""Groups of the machine: who is in them, what app servers and members say there, and their history."""

import time
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.conformance import wire
from tests.platform.asked import group_options, names, qualities, some_names
from tests.platform.base import Base
from tests.platform.expectations import Chat, Sent
from tests.platform.sessions import Line
from tests.waiting import WITHIN

GROUP: Final = "group/"
NOT_A_MEMBER: Final = 0x87

chats = st.sampled_from(("team", "club"))


class Groups(Base):
    def __init__(self) -> None:
        super().__init__()
        self.hears[GROUP] = self.hear_group

    @rule(group=chats, found=st.lists(names, max_size=4, unique=True))
    def put_group(self, group: str, found: list[str]) -> None:
        """Exactly these are members from now on; nobody is, where one of them is not registered."""
        chat = self.expected.chats.get(group)
        answer = self.call("PUT", f"/groups/{group}", {"members": found})
        phones = [self.expected.phones[name] for name in found]
        if not all(phone.registered for phone in phones):
            assert answer.status_code == 404, answer.text
        else:
            assert answer.status_code == (200 if chat else 201), answer.text
            chat = self.expected.chats.setdefault(group, Chat(group))
            wanted = {phone.who for phone in phones}
            for who in chat.members - wanted:
                chat.leaves(who)
            chat.members |= wanted
        self.check()

    @rule(group=chats, found=some_names)
    def join(self, group: str, found: list[str]) -> None:
        chat = self.expected.chats.get(group)
        answer = self.call("POST", f"/groups/{group}/members:add", {"members": found})
        phones = [self.expected.phones[name] for name in set(found)]
        if chat is None or not all(phone.registered for phone in phones):
            assert answer.status_code == 404, answer.text
        else:
            coming = {phone.who for phone in phones} - chat.members
            chat.members |= coming
            assert answer.json() == {"added": len(coming), "size": len(chat.members)}, answer.text
        self.check()

    @rule(group=chats, found=some_names)
    def leave(self, group: str, found: list[str]) -> None:
        self.take()
        chat = self.expected.chats.get(group)
        answer = self.call("POST", f"/groups/{group}/members:remove", {"members": found})
        if chat is None:
            assert answer.status_code == 404, answer.text
        else:
            going = {self.expected.phones[name].who for name in found} & chat.members
            for who in going:
                chat.leaves(who)
            assert answer.json() == {"removed": len(going), "size": len(chat.members)}, answer.text
        self.check()

    @rule(group=chats, asked=group_options, many=st.integers(1, 3))
    def tell_group(self, group: str, asked: dict[str, Any], many: int) -> None:
        """An app server says something in a group."""
        for _ in range(many):
            self.send(self.message({"group": group}, asked))
        self.check()

    @rule(name=names, group=chats, qos=qualities)
    def say(self, name: str, group: str, qos: int) -> None:
        """A member says something; who is none hears that there is no such group."""
        line = self.there(name)
        if line is None:
            return
        chat = self.expected.chats.get(group)
        body = self.message({"group": group}, {"qos": min(qos, 1)})
        reason = self.publish(name, f"{GROUP}{group}", body["payload"].encode(), qos)
        if chat is None or self.expected.phones[name].who not in chat.members:
            assert reason == (NOT_A_MEMBER if qos and line.version == 5 else 0), reason
        else:
            assert reason == 0, reason
            entry = self.last_said(chat, wait=not qos)
            self.expected.accept(entry["message_id"], body, sender=name)
        self.check()

    @rule(group=chats)
    def delete_group(self, group: str) -> None:
        """A later one of its name has nothing of it."""
        self.take()
        chat = self.expected.chats.pop(group, None)
        answer = self.call("DELETE", f"/groups/{group}")
        assert answer.status_code == (204 if chat else 404), answer.text
        if chat is not None:
            chat.ends()
        self.check()

    def hear_group(self, name: str, line: Line, packet: wire.Packet) -> None:
        sent = self.expected.by_payload.get(packet.payload.decode())
        self.arrived(name, self.expected.phones[name], packet, sent)
        assert sent is not None
        assert sent.sequence, f"{packet.topic}: {sent} was not for a group"
        if line.version == 5:
            said = dict(value for value in packet.all(wire.USER) if isinstance(value, tuple))
            assert said["sequence"] == str(sent.sequence), (said, sent)
            assert said["message-id"] == sent.id, (said, sent)
            assert said.get("sender") == sent.sender, (said, sent)

    def last_said(self, chat: Chat, *, wait: bool) -> dict[str, Any]:
        """What follows the last that is known in a group; what was said with QoS 0 may take a moment."""
        deadline = time.monotonic() + WITHIN
        path = f"/groups/{chat.name}/messages?after={len(chat.said)}"
        while not (found := self.call("GET", path).json()["messages"]):
            assert wait, f"what was acknowledged is not in the history of {chat.name}"
            assert time.monotonic() < deadline, f"what was said in {chat.name} is not in its history"
            time.sleep(0.01)  # who hears it now does not know yet that it was accepted
        assert len(found) == 1, found
        return dict(found[0])

    def check(self) -> None:
        super().check()
        for chat in self.expected.chats.values():
            shown = self.call("GET", f"/groups/{chat.name}").json()
            assert shown["members"] == sorted(name for name, _ in chat.members), (shown, chat)
            assert shown["sequence"] == len(chat.said), (shown, chat)
            history = self.call("GET", f"/groups/{chat.name}/messages?after=0&limit=1000").json()["messages"]
            assert [_entry(each) for each in history] == [_expected(sent) for sent in chat.said]


def _entry(shown: dict[str, Any]) -> tuple[int, str, str | None, str]:
    return shown["sequence"], shown["message_id"], shown["sender"], shown["payload"]


def _expected(sent: Sent) -> tuple[int, str, str | None, str]:
    return sent.sequence, sent.id, sent.sender, sent.payload
