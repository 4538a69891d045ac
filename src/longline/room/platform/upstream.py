"""`up/…`: messages from devices to their app servers."""

from collections.abc import Callable
from typing import Final

import msgspec

from longline.delivery.ids import MessageIds
from longline.delivery.replies import MAX_BYTES, ReplyAddress, can_be_answered, reply_word
from longline.model.events import UPSTREAM, UpstreamData
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish
from longline.mqtt.properties import PropertyId, get_bytes, get_str, user_properties
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import byte_length
from longline.room.platform.send_ids import take_send_id
from longline.room.platform.writer import EventWriter
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import Refusal
from longline.room.session.session import Session
from longline.room.wire.answers import Answer

REPLY_TOO_LONG: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED,
    "reply_too_long",
    "the response topic and the correlation data are longer together than they may be",
)

_encode = msgspec.json.Encoder().encode


class UpstreamMessages:
    """Fulfils `Handler`."""

    def __init__(self, writer: EventWriter, clock: Callable[[], int] = wall_clock) -> None:
        self._writer = writer
        self._clock = clock
        self._ids = MessageIds()

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        properties = packet.properties
        if properties is not None:
            topic = get_str(properties, PropertyId.RESPONSE_TOPIC) or ""
            correlation = get_bytes(properties, PropertyId.CORRELATION_DATA) or b""
            if byte_length(topic) + len(correlation) > MAX_BYTES:
                return REPLY_TOO_LONG
        return None

    def full(self) -> bool:
        return self._writer.full()

    def hold_up(self, go_on: Callable[[], None]) -> None:
        self._writer.hold_up(go_on)

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        now = self._clock()
        id = self._ids.make(now)
        data = _data(session, packet, id)
        self._writer.add(publisher, session, UPSTREAM, id, now, data, packet.payload, answer)


def _data(session: Session, packet: Publish, id: str) -> bytes:
    properties = packet.properties
    if properties is None:
        return _encode(UpstreamData(id, packet.topic, repeated=packet.dup))
    topic = get_str(properties, PropertyId.RESPONSE_TOPIC)
    reply_to = None
    if topic:
        correlation = get_bytes(properties, PropertyId.CORRELATION_DATA)
        attachment = session.attachment
        if attachment is not None:
            topic = topic.removeprefix(attachment.prefix)  # it is put before what goes to the session anyway
        if can_be_answered(topic):
            address = ReplyAddress(session.tenant.app, session.ordinal, session.device, topic, correlation)
            reply_to = reply_word(address)
    said = user_properties(properties)
    send_id = take_send_id(said)
    content_type = get_str(properties, PropertyId.CONTENT_TYPE)
    return _encode(UpstreamData(id, packet.topic, content_type, said, reply_to, packet.dup, send_id))
