"""How a server tells a client to go to another one.

MQTT 5 has the property Server Reference in CONNACK and DISCONNECT, section 4.11: servers as `host:port` or
`host`, with spaces between them; an address of IPv6 stands in brackets. How long to wait before, in
milliseconds, is ours to say: a user property `after-ms`. MQTT 3.1.1 has no word for any of this. It gets a
message on `MOVED_TOPIC` before its connection is closed, a JSON object with `endpoints` (objects with `host`
and `port`) and `after_ms`.
"""

import json
from typing import Final

from longline.mqtt.properties import Properties, PropertyId, get_str, user_properties

MOVED_TOPIC: Final = "$link/moved"
AFTER: Final = "after-ms"
MAX_ENDPOINTS: Final = 16  # that a client looks at
MAX_AFTER: Final = 60_000  # ms that a client lets itself be kept away

Endpoint = tuple[str, int]


def read_reference(text: str, port: int) -> list[Endpoint]:
    """The servers of a Server Reference, `port` for those that name none; what is no server is left out."""
    found: list[Endpoint] = []
    for word in text.split()[:MAX_ENDPOINTS]:
        host, colon, number = word.rpartition(":")
        if not colon or "]" in number:  # the colons of an IPv6 address stand in brackets
            host, number = word, str(port)
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        if host and (bracketed or ":" not in host) and is_port(number):
            found.append((host, int(number)))
    return found


def is_port(text: str) -> bool:
    """Whether this is the number of a port."""
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65_535


def moved_properties(server: str | None, after_ms: int) -> Properties:
    """What CONNACK or DISCONNECT says to a client that is to go to `server`; None: where it came from."""
    properties: Properties = {PropertyId.USER_PROPERTY: [(AFTER, str(after_ms))]}
    if server is not None:
        properties[PropertyId.SERVER_REFERENCE] = server
    return properties


def read_moved_properties(properties: Properties | None, port: int) -> tuple[list[Endpoint], float]:
    """Where to go, none for where the client came from, and after how many seconds."""
    text = get_str(properties, PropertyId.SERVER_REFERENCE)
    after = dict(user_properties(properties)).get(AFTER, "")
    wait = int(after) if after.isascii() and after.isdigit() and len(after) <= 9 else 0
    return read_reference(text, port) if text else [], min(wait, MAX_AFTER) / 1000


def moved_notice(server: str | None, after_ms: int) -> bytes:
    """The same for MQTT 3.1.1: the payload of a message on `MOVED_TOPIC`."""
    endpoints = [{"host": host, "port": port} for host, port in read_reference(server or "", 0)]
    return json.dumps({"endpoints": endpoints, "after_ms": after_ms}, separators=(",", ":")).encode()


def read_moved_notice(payload: bytes) -> tuple[list[Endpoint], float]:
    """What `read_moved_properties` gives, out of such a message; nothing out of what is none."""
    try:
        notice = json.loads(payload)
    except (ValueError, RecursionError):
        return [], 0.0
    if not isinstance(notice, dict):
        return [], 0.0
    found: list[Endpoint] = []
    endpoints = notice.get("endpoints")
    for endpoint in endpoints[:MAX_ENDPOINTS] if isinstance(endpoints, list) else ():
        if isinstance(endpoint, dict):
            host, port = endpoint.get("host"), endpoint.get("port")
            if isinstance(host, str) and host and isinstance(port, int) and 0 < port <= 65_535:
                found.append((host, port))
    after = notice.get("after_ms")
    wait = float(after) if isinstance(after, int | float) and after > 0 else 0.0
    return found, min(wait, MAX_AFTER) / 1000
