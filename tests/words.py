"""Reason Strings, apart from the packets that carry them: most tests are about the packets."""

from longline.mqtt.packets import (
    Acknowledgement,
    Auth,
    Connack,
    Disconnect,
    Packet,
    Suback,
    Unsuback,
)
from longline.mqtt.properties import PropertyId


def without_words(packet: Packet) -> list[str]:
    """Takes the Reason String out of an answer; returns it, where there is one."""
    if not isinstance(packet, Acknowledgement | Auth | Connack | Disconnect | Suback | Unsuback):
        return []
    properties = packet.properties
    words = properties.pop(PropertyId.REASON_STRING, None) if properties is not None else None
    packet.properties = properties or None
    return [words] if isinstance(words, str) else []
