"""Retained messages on their way to a session: how far each subscription has got, and what waits behind it.

A subscription's retained messages are read from the store page by page, in the order of their topics
(`replayer.py`), and what comes meanwhile must not be overtaken by what is older [MQTT-4.6.0-5]. A message on
a topic that was read already goes its way. One on a topic that has still to come is *held*: the retained
message of that topic alone is read next, goes first, and is left out when the pages come to it. So it waits
for one read of the store. How much is held is bounded, and so is what is to be left out; beyond that, and
when the store takes too long, messages go their way at once, and may be overtaken.
"""

from typing import Final, Generic, TypeVar, final

from longline.mqtt.topics import matches
from longline.room.pubsub.message import FanoutMessage

Receiver = TypeVar("Receiver")

AHEAD: Final = 64  # topics of a session that hold messages up
LEFT_OUT: Final = 1000  # that were read out of their order, and that the pages have not come to yet
CHARACTERS: Final = 65_536  # in all of these
LATE: Final = 1000  # ms that messages are held at most, if another comes


@final
class Replay:
    """A subscription's retained messages. Those on topics before `position`, and in `done`, were sent."""

    __slots__ = ("done", "filter", "position")

    def __init__(self, filter: str) -> None:
        self.filter = filter
        self.position = ""
        self.done: set[str] | None = None  # while there are any

    def awaits(self, topic: str) -> bool:
        """Whether the topic's message may still have to come."""
        if topic < self.position or (self.done is not None and topic in self.done):
            return False
        return matches(self.filter, topic)


@final
class Live(Generic[Receiver]):
    """A message that is held for one receiver since a moment, in ms."""

    __slots__ = ("message", "receiver", "since", "size")

    def __init__(self, message: FanoutMessage, receiver: Receiver, since: int) -> None:
        packet = message.packet
        self.message = message
        self.receiver = receiver
        self.since = since
        self.size = len(packet.topic) + len(packet.payload)  # bytes, about


@final
class Replays(Generic[Receiver]):
    """All of a session, in the order of its subscriptions: the first is being read.

    `asked`: the store is to be read for this session. `ahead`: topics of what is held.
    """

    __slots__ = ("_characters", "_held", "_left_out", "_size", "ahead", "asked", "queue")

    def __init__(self) -> None:
        self.asked = False
        self.queue: list[Replay] = []
        self.ahead: dict[str, None] = {}
        self._held: list[Live[Receiver]] = []
        self._size = 0  # bytes of them
        self._left_out = 0  # topics that the pages have still to leave out, once for each subscription
        self._characters = 0  # in these topics, and in those ahead

    # --- subscriptions ----------------------------------------------------------------------------

    def add(self, replay: Replay) -> None:
        """A subscription gets its own, in the place of what it had still to get."""
        before = self.find(replay.filter)
        if before is not None:
            self.end(before)
        self.queue.append(replay)

    def find(self, filter: str) -> Replay | None:
        """What a subscription has still to get."""
        for replay in self.queue:
            if replay.filter == filter:
                return replay
        return None

    def end(self, replay: Replay) -> None:
        """It has got all, or is to get no more."""
        self.queue.remove(replay)
        if replay.done is not None:
            for topic in replay.done:
                self._left_out -= 1
                self._characters -= len(topic)
        self._pass()

    # --- what was read ----------------------------------------------------------------------------

    def moved(self, replay: Replay, position: str) -> None:
        """The messages of all topics before a position were sent."""
        replay.position = position
        self._pass()

    def _pass(self) -> None:
        """Topics for which nothing is awaited any more hold nothing up."""
        for topic in list(self.ahead):
            if not any(replay.awaits(topic) for replay in self.queue):
                self._drop(topic)

    def _drop(self, topic: str) -> None:
        del self.ahead[topic]
        self._characters -= len(topic)

    def sent_ahead(self, topic: str) -> None:
        """What is retained of a topic was sent to all subscriptions that have not come to it."""
        for replay in self.queue:
            if replay.awaits(topic):
                if replay.done is None:
                    replay.done = set()
                replay.done.add(topic)
                self._left_out += 1
                self._characters += len(topic)
        self._drop(topic)

    def left_out(self, replay: Replay, topic: str) -> bool:
        """Whether the pages have come to a topic whose message was sent ahead of them."""
        done = replay.done
        if done is None or topic not in done:
            return False
        done.discard(topic)
        if not done:
            replay.done = None
        self._left_out -= 1
        self._characters -= len(topic)
        return True

    # --- what comes meanwhile ---------------------------------------------------------------------

    def awaits(self, topic: str) -> bool:
        """Whether something retained may have to go before a message on this topic."""
        if topic in self.ahead:
            return True
        if len(self.ahead) >= AHEAD or self._left_out >= LEFT_OUT or self._characters >= CHARACTERS:
            return False
        return any(replay.awaits(topic) for replay in self.queue)

    def hold(self, live: Live[Receiver], most: int, most_bytes: int) -> bool:
        """Holds a message; False when it is one too many, or those before it have waited for too long."""
        held = self._held
        if held and (
            len(held) >= most or self._size + live.size > most_bytes or live.since - held[0].since > LATE
        ):
            return False
        held.append(live)
        self._size += live.size
        topic = live.message.packet.topic
        if topic not in self.ahead:
            self.ahead[topic] = None
            self._characters += len(topic)
        return True

    def holds(self, topic: str, id: str) -> bool:
        """Whether what was found is itself on its way: it was published since."""
        if topic in self.ahead:
            for live in self._held:
                if live.message.id == id and live.message.packet.topic == topic:
                    return True
        return False

    def released(self) -> list[Live[Receiver]]:
        """Takes out what waits for nothing any more, in the order in which it came."""
        if not self._held:
            return []
        out = [live for live in self._held if live.message.packet.topic not in self.ahead]
        if out:
            self._held = [live for live in self._held if live.message.packet.topic in self.ahead]
            self._size = sum([live.size for live in self._held])
        return out

    def let_go(self) -> list[Live[Receiver]]:
        """Takes out everything: it does not wait any more."""
        for topic in list(self.ahead):
            self._drop(topic)
        return self.released()
