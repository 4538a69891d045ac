"""`event/{message_id}/{name}`: what became of a message, as the application on the device tells."""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from longline.delivery.ids import MessageIds
from longline.model.events import RECEIPT, ReceiptData
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish
from longline.mqtt.properties import user_properties
from longline.mqtt.reasons import ReasonCode
from longline.room.platform.send_ids import take_send_id
from longline.room.platform.writer import EventWriter
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import Refusal
from longline.room.session.session import Session
from longline.room.wire.answers import Answer

TOPIC: Final = re.compile(
    r"event/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/([A-Za-z0-9_.-]{1,64})",
    re.IGNORECASE | re.ASCII,
)
RECEIPT_INVALID: Final = Refusal(
    ReasonCode.TOPIC_NAME_INVALID,
    "receipt_invalid",
    "not event/{message_id}/{name}: the id of a message, and 1 to 64 letters, digits and - _ .",
)

_encode = msgspec.json.Encoder().encode


class AppReceipts:
    """Fulfils `Handler`."""

    def __init__(self, writer: EventWriter, clock: Callable[[], int] = wall_clock) -> None:
        self._writer = writer
        self._clock = clock
        self._ids = MessageIds()

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        return None if TOPIC.fullmatch(packet.topic) else RECEIPT_INVALID

    def full(self) -> bool:
        return self._writer.full()

    def hold_up(self, go_on: Callable[[], None]) -> None:
        self._writer.hold_up(go_on)

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        now = self._clock()
        _, message_id, name = packet.topic.split("/")
        id = self._ids.make(now)
        send_id = take_send_id(user_properties(packet.properties))
        data = _encode(ReceiptData(id, packet.topic, message_id.lower(), name, packet.dup, send_id))
        self._writer.add(publisher, session, RECEIPT, id, now, data, packet.payload, answer)
