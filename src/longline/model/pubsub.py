"""Plain publish/subscribe, as far as it is kept: subscriptions, publications, wills.

`properties` of a message are those that go on to subscribers, encoded as in an MQTT 5 PUBLISH (section
2.2.2) without their length; empty for none. The message expiry interval is not among them: `expires_at`, in
ms, 0 for never, says the same for whoever reads the message later.
"""

import msgspec


class Filter(msgspec.Struct, frozen=True, gc=False):
    """One subscription of a session, with its options (MQTT 5.0, section 3.8.3.1).

    `identifier` is 0 for none. Retain handling says what happens at the subscription, and is not kept.
    `shared`: it is that of a group, `$share/{name}/{filter}` (section 4.8.2), and no filter like others.
    """

    filter: str
    qos: int
    no_local: bool = False
    as_published: bool = False
    identifier: int = 0
    shared: bool = False


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A message that a client published. `id` is a UUIDv7 in its 36-character form.

    `sender` is the device, where it matters later that it is not given its own; empty where nobody asks.
    """

    id: str
    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    properties: bytes = b""
    at: int = 0
    expires_at: int = 0
    sender: str = ""


class StoredWill(msgspec.Struct, frozen=True, gc=False):
    """What is to be published for a client that goes without a word; `delay` and `expires_in` in seconds.

    The expiry counts from the moment at which it is published (section 3.1.3.2.4); 0 for never.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    properties: bytes = b""
    delay: int = 0
    expires_in: int = 0
