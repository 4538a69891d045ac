"""Publications with QoS 2 of sessions that are kept: nobody gets one before the store has it.

Their client may repeat one to another room, whose connection has the session from then on. Only the store
knows which of the two was first: it takes the message together with its packet identifier, or refuses what
comes from a connection that is not the session's any more. So what is refused may be with nobody yet, neither
with subscribers here, nor in other rooms, nor as what is retained.

Whom a message is for is looked up after the commit. Only of groups a member is chosen before it, for the
queues of members are filled in the same step.
"""

from collections.abc import Sequence
from typing import Protocol, final

from longline.mqtt.packets import Publish
from longline.mqtt.properties import MESSAGE_EXPIRY
from longline.room.kept.deposits import Deposit
from longline.room.pubsub.arrivals import count_down
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.groups import ForQueues
from longline.room.pubsub.retainer import Retainer
from longline.room.pubsub.rooms import NOT_YET, Publisher
from longline.room.session.session import Session
from longline.room.wire.answers import Answer


class Withholding(Publisher, Protocol):
    """A client of whose publications some are withheld."""

    def spreading(self, count: int) -> None:
        """So many more, or fewer, are committed and still on their way: the next one waits for them."""


@final
class Withheld:
    """One of them. It is the `Publisher` of those who distribute it, and has them say their part of the
    answer that its client waits for; the client's connection may be over by then.
    """

    __slots__ = (
        "_allotted",
        "_answer",
        "_at",
        "_client",
        "_fanout",
        "_id",
        "_packet",
        "_queues",
        "_retainer",
        "_session",
    )

    def __init__(
        self,
        fanout: Fanout,
        retainer: Retainer,
        client: Withholding,
        session: Session,
        packet: Publish,
        deposit: Deposit,
    ) -> None:
        self._fanout = fanout
        self._retainer = retainer
        self._client = client
        self._session = session
        self._packet = packet
        self._at = deposit.publication.at
        self._answer = deposit.answer
        self._id = retainer.name() if packet.retain else ""
        queues = deposit.queues
        self._queues = ForQueues([]) if queues is None else queues
        self._allotted = fanout.allot(session, packet, self._id, self._queues)

    def committed(self, groups: Sequence[str]) -> None:
        """Distributes it, while the store's own part of the answer has not been said yet."""
        answer, packet, session = self._answer, self._packet, self._session
        if answer is None:
            return
        # [MQTT-3.8.3-3] its client may be here by another connection.
        session = session.tenant.sessions.get(session.device, session)
        if packet.retain:
            answer.owing += 1
            self._retainer.keep(self._client, session, packet, answer, self._id, self._at)
        properties = packet.properties
        if properties is not None and MESSAGE_EXPIRY in properties:
            properties = dict(properties)
            if not count_down(properties, self._fanout.clock() - self._at):
                self._fanout.expired(1)
                return
            packet = Publish(
                packet.topic, packet.payload, 2, packet.retain, False, packet.packet_id, properties
            )
        answer.owing += 1
        reason = self._fanout.publish_committed(
            self, session, packet, self._id, self._allotted, self._queues, groups
        )
        if reason == NOT_YET:
            self._client.spreading(1)
        elif reason >= 0:
            self._client.settle(answer, reason)

    # --- as those see it who distribute it --------------------------------------------------------

    def report(self, code: str, message: str) -> None:
        self._client.report(code, message)

    def owe(self, packet: Publish) -> Answer:
        answer = self._answer
        assert answer is not None
        return answer

    def owing(self) -> int:
        return 0  # they are bounded by what a client may have begun

    def settle(self, answer: Answer, reason: int, message: str = "") -> None:
        self._client.settle(answer, reason, message)

    def published(self, packet: Publish, reason: int) -> None:
        if self._answer is not None:
            self._client.settle(self._answer, reason)
        self._client.spreading(-1)

    def go_on(self) -> None:
        self._client.spreading(-1)
