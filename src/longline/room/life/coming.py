"""How a client came, as its CONNECT and its connection tell."""

from typing import Final

from longline.model.devices import Came
from longline.mqtt.packets import MQTT_5_0, Connect
from longline.mqtt.properties import user_properties

NAME: Final = "client-name"  # user properties of a CONNECT, by which a program says what it is
VERSION: Final = "client-version"
LONGEST: Final = 64  # characters of either that are kept


def came(packet: Connect, peer: str | None) -> Came:
    """What is noted of a visit; a client of MQTT 3.1.1 has no way to say what it is."""
    if packet.version != MQTT_5_0:
        return Came(peer or "", "MQTT 3.1.1")
    name = version = ""
    for key, value in user_properties(packet.properties):
        if key == NAME:
            name = value[:LONGEST]
        elif key == VERSION:
            version = value[:LONGEST]
    return Came(peer or "", "MQTT 5.0", name, version)
