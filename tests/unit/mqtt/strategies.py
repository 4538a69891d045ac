"""Hypothesis strategies for legal packets of either version and either sender."""

from hypothesis import strategies as st

from longline.mqtt import reasons
from longline.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from longline.mqtt.properties import (
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    BINARY,
    BYTE,
    FLAG,
    FOUR_BYTES,
    IN_AUTH,
    IN_CONNACK,
    IN_CONNECT,
    IN_DISCONNECT,
    IN_PUBLISH,
    IN_SUBACK,
    IN_SUBSCRIBE,
    IN_UNSUBACK,
    IN_UNSUBSCRIBE,
    IN_WILL,
    NON_ZERO,
    PAIR,
    PROPERTY_TABLE,
    SESSION_EXPIRY_INTERVAL,
    STRING,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_NAME,
    TWO_BYTES,
    Properties,
    PropertyRow,
    PropertyValue,
)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
LEVEL = st.text(st.characters(exclude_characters="\0/+#", exclude_categories=["Cs"]), max_size=8)
TOPICS = st.lists(LEVEL, min_size=1, max_size=5).map("/".join).filter(bool)
SHARE = st.text("abcXYZ019-", min_size=1, max_size=6)
PACKET_IDS = st.integers(1, 0xFFFF)
DATA = st.binary(max_size=200)


@st.composite
def filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(st.one_of(LEVEL, st.just("+")), max_size=4))
    if draw(st.booleans()) or not any(levels):
        levels.append("#")
    plain = "/".join(levels)
    if plain.startswith("$share/"):
        plain = plain[1:]
    return f"$share/{draw(SHARE)}/{plain}" if draw(st.booleans()) else plain


def values(row: PropertyRow, place: int) -> st.SearchStrategy[PropertyValue]:
    """What the table allows for a property."""
    if row.wire == PAIR:
        return st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4)
    if row.wire == BINARY:
        return DATA
    if row.wire == STRING:
        return TOPICS if row.rule == TOPIC_NAME else TEXT
    if row.rule == FLAG:
        return st.integers(0, 1)
    least = 1 if row.rule == NON_ZERO else 0
    if row.repeatable:
        most = 1 if place == IN_SUBSCRIBE else 4
        return st.lists(st.integers(least, 268_435_455), min_size=1, max_size=most)
    most = {BYTE: 0xFF, TWO_BYTES: 0xFFFF, FOUR_BYTES: 0xFFFFFFFF}[row.wire]
    return st.integers(least, most)


@st.composite
def property_sets(draw: st.DrawFn, place: int, version: int, from_client: bool) -> Properties | None:
    if version != 5:
        return None
    rows = [row for row in PROPERTY_TABLE if row.places & place]
    chosen = draw(st.lists(st.sampled_from(rows), unique_by=lambda row: row.id, max_size=6))
    properties: Properties = {row.id: draw(values(row, place)) for row in chosen}
    if place == IN_PUBLISH and from_client:
        properties.pop(SUBSCRIPTION_IDENTIFIER, None)
    if place == IN_DISCONNECT and not from_client:
        properties.pop(SESSION_EXPIRY_INTERVAL, None)
    if place == IN_AUTH or AUTHENTICATION_DATA in properties:
        properties.setdefault(AUTHENTICATION_METHOD, draw(TEXT))
    return properties or None


@st.composite
def wills(draw: st.DrawFn, version: int) -> Will:
    return Will(
        draw(TOPICS),
        draw(DATA),
        draw(st.integers(0, 2)),
        draw(st.booleans()),
        draw(property_sets(IN_WILL, version, True)),
    )


@st.composite
def connects(draw: st.DrawFn, version: int) -> Packet:
    client_id = draw(TEXT)
    username = draw(st.none() | TEXT)
    password = draw(st.none() | DATA) if version == 5 or username is not None else None
    clean = draw(st.booleans()) or (version == 4 and not client_id)
    return Connect(
        version,
        client_id,
        clean,
        draw(st.integers(0, 0xFFFF)),
        username,
        password,
        draw(st.none() | wills(version)),
        draw(property_sets(IN_CONNECT, version, True)),
    )


@st.composite
def connacks(draw: st.DrawFn, version: int) -> Packet:
    codes = reasons.CONNACK_REASONS if version == 5 else {0, 0x84, 0x85, 0x86, 0x87, 0x88}
    reason = draw(st.sampled_from(sorted(codes)))
    present = reason == 0 and draw(st.booleans())
    return Connack(present, reason, draw(property_sets(IN_CONNACK, version, False)))


@st.composite
def publishes(draw: st.DrawFn, version: int, from_client: bool) -> Packet:
    qos = draw(st.integers(0, 2))
    return Publish(
        draw(TOPICS),
        draw(DATA),
        qos,
        draw(st.booleans()),
        qos > 0 and draw(st.booleans()),
        draw(PACKET_IDS) if qos else 0,
        draw(property_sets(IN_PUBLISH, version, from_client)),
    )


@st.composite
def acknowledgements(draw: st.DrawFn, version: int, from_client: bool) -> Packet:
    make = draw(st.sampled_from([Puback, Pubrec, Pubrel, Pubcomp]))
    packet = make(draw(PACKET_IDS))
    if version == 5:
        packet.reason = draw(st.sampled_from(sorted(reasons.ACKNOWLEDGEMENT_REASONS[packet.kind])))
        packet.properties = draw(property_sets(1 << packet.kind, version, from_client))
    return packet


@st.composite
def subscribes(draw: st.DrawFn, version: int) -> Packet:
    subscriptions = []
    for wanted in draw(st.lists(filters(), min_size=1, max_size=4)):
        subscription = Subscription(wanted, draw(st.integers(0, 2)))
        if version == 5:
            subscription.no_local = draw(st.booleans()) and not wanted.startswith("$share/")
            subscription.retain_as_published = draw(st.booleans())
            subscription.retain_handling = draw(st.integers(0, 2))
        subscriptions.append(subscription)
    return Subscribe(draw(PACKET_IDS), subscriptions, draw(property_sets(IN_SUBSCRIBE, version, True)))


@st.composite
def unsubscribes(draw: st.DrawFn, version: int) -> Packet:
    wanted = draw(st.lists(filters(), min_size=1, max_size=4))
    return Unsubscribe(draw(PACKET_IDS), wanted, draw(property_sets(IN_UNSUBSCRIBE, version, True)))


@st.composite
def subacks(draw: st.DrawFn, version: int) -> Packet:
    legal = sorted(reasons.SUBACK_REASONS if version == 5 else reasons.SUBACK_REASONS_V4)
    codes = draw(st.lists(st.sampled_from(legal), min_size=1, max_size=5))
    return Suback(draw(PACKET_IDS), codes, draw(property_sets(IN_SUBACK, version, False)))


@st.composite
def unsubacks(draw: st.DrawFn, version: int) -> Packet:
    legal = sorted(reasons.UNSUBACK_REASONS)
    codes = draw(st.lists(st.sampled_from(legal), min_size=1, max_size=5)) if version == 5 else []
    return Unsuback(draw(PACKET_IDS), codes, draw(property_sets(IN_UNSUBACK, version, False)))


@st.composite
def disconnects(draw: st.DrawFn, version: int, from_client: bool) -> Packet:
    if version != 5:
        return Disconnect()
    reason = draw(st.sampled_from(sorted(reasons.DISCONNECT_REASONS)))
    return Disconnect(reason, draw(property_sets(IN_DISCONNECT, version, from_client)))


@st.composite
def auths(draw: st.DrawFn, from_client: bool) -> Packet:
    legal = reasons.AUTH_REASONS_OF_CLIENT if from_client else reasons.AUTH_REASONS_OF_SERVER
    return Auth(draw(st.sampled_from(sorted(legal))), draw(property_sets(IN_AUTH, 5, from_client)))


def packets(version: int, from_client: bool) -> st.SearchStrategy[Packet]:
    """Any packet that this sender may send in this version, CONNECT excepted: it comes once, and first."""
    kinds = [
        publishes(version, from_client),
        acknowledgements(version, from_client),
        disconnects(version, from_client),
    ]
    if from_client:
        kinds += [subscribes(version), unsubscribes(version), st.just(Pingreq())]
    else:
        kinds += [connacks(version), subacks(version), unsubacks(version), st.just(Pingresp())]
    if version == 5:
        kinds.append(auths(from_client))
    return st.one_of(kinds)
