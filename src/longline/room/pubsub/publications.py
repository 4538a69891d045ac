"""Messages of plain publish/subscribe as the store has them, and back."""

from collections.abc import Callable

from longline.model.pubsub import Publication
from longline.mqtt.packets import Publish
from longline.mqtt.properties import (
    MESSAGE_EXPIRY,
    Properties,
    get_int,
    pack_message_properties,
    unpack_message_properties,
)
from longline.room.pubsub.message import FanoutMessage
from longline.room.push.frames import forwarded


def packed(properties: Properties | None) -> tuple[bytes, int | None]:
    """What of a publisher's properties is kept, and the expiry interval in seconds, which is kept apart."""
    properties = forwarded(properties)
    expiry = get_int(properties, MESSAGE_EXPIRY)
    if properties is not None and expiry is not None:
        properties = {name: value for name, value in properties.items() if name != MESSAGE_EXPIRY}
    return pack_message_properties(properties), expiry


def publication(packet: Publish, id: str, now: int, sender: str) -> Publication:
    """What a device has published at `now` (ms), as it is kept."""
    properties, expiry = packed(packet.properties)
    return Publication(
        id=id,
        topic=packet.topic,
        payload=packet.payload,
        qos=packet.qos,
        retain=packet.retain,
        properties=properties,
        at=now,
        expires_at=0 if expiry is None else now + 1000 * expiry,
        sender=sender,
    )


def stored_message(kept: Publication, clock: Callable[[], int], retain: bool) -> FanoutMessage:
    """A publication as subscribers get it, with what is left of its time; `retain`: the flag it gets."""
    properties: Properties = unpack_message_properties(kept.properties) or {}
    if kept.expires_at:
        properties[MESSAGE_EXPIRY] = max(0, (kept.expires_at - clock() + 999) // 1000)
    packet = Publish(kept.topic, kept.payload, kept.qos, retain, properties=properties or None)
    found = FanoutMessage(None, packet, clock, kept.id, retain)
    found.ends = kept.expires_at
    return found
