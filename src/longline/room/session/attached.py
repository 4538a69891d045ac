"""What goes to and fro between a client and the apps that are attached to its connection.

Their topics are what an app has, below `@{app}/`. What a client publishes there is made what it would be on a
connection of its own; everything behind that is as for any other session. What there is to say of attachments
themselves is said on `$link/reply`, with QoS 0: it belongs to this connection, which loses nothing as long as
it is there, and must not wait for the client's window.
"""

from typing import Final

import msgspec

from longline.model.topics import ANSWER_TOPIC
from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_5_0, Publish, Subscription
from longline.mqtt.properties import CORRELATION_DATA, RESPONSE_TOPIC, TOPIC_ALIAS, Properties, PropertyId
from longline.mqtt.reasons import ReasonCode

ATTACHED: Final = "attached"
DETACHED: Final = "detached"
ENDED: Final = "ended"
REFUSED: Final = "refused"


def inner_publish(packet: Publish, prefix: str) -> Publish:
    """A publication as its app sees it, where the response topic is its own, too."""
    properties = packet.properties
    if properties is not None:
        rest: Properties = {key: value for key, value in properties.items() if key != TOPIC_ALIAS}
        answer = rest.get(RESPONSE_TOPIC)
        if isinstance(answer, str) and answer.startswith(prefix) and len(answer) > len(prefix):
            rest[RESPONSE_TOPIC] = answer[len(prefix) :]
        properties = rest or None
    return Publish(
        packet.topic[len(prefix) :],
        packet.payload,
        packet.qos,
        packet.retain,
        packet.dup,
        packet.packet_id,
        properties,
    )


def inner_subscription(wanted: Subscription, prefix: str) -> Subscription:
    """A subscription as its app sees it."""
    return Subscription(
        wanted.filter[len(prefix) :],
        wanted.qos,
        wanted.no_local,
        wanted.retain_as_published,
        wanted.retain_handling,
    )


def told(
    status: str,
    app: str,
    device: str,
    *,
    request: str = "",
    code: str = "",
    message: str = "",
    reason: int = int(ReasonCode.SUCCESS),
    retryable: bool = False,
) -> bytes:
    """What `$link/reply` says, as JSON. `request`: what it answers, empty for what nobody asked for."""
    said: dict[str, object] = {"status": status}
    if request:
        said["request"] = request
    if app:
        said["app"] = app
    if device:
        said["device"] = device
    if code:
        said["code"] = code
        said["reason"] = reason
        if message:
            said["message"] = message
        said["retryable"] = retryable
    return msgspec.json.encode(said)


def answer_frame(payload: bytes, correlation: bytes | None, version: int) -> PublishFrame:
    """Its PUBLISH, with the Correlation Data of the request."""
    properties: Properties | None = None
    if version == MQTT_5_0:
        properties = {PropertyId.CONTENT_TYPE: "application/json"}
        if correlation is not None:
            properties[CORRELATION_DATA] = correlation
    return PublishFrame(ANSWER_TOPIC, payload, 0, False, properties, version)
