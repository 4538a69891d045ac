"""Laws of the codec, on generated packets and on spoilt ones."""

from hypothesis import given
from hypothesis import strategies as st

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.link import Link, Role
from longline.mqtt.packets import Connack, Connect, Packet
from tests.unit.mqtt.strategies import connects, packets
from tests.unit.mqtt.vectors import GOOD

LIMIT = 1 << 20
SENDERS = st.tuples(st.sampled_from([4, 5]), st.booleans())
CONVERSATIONS = SENDERS.flatmap(
    lambda sender: st.tuples(st.just(sender), st.lists(packets(*sender), min_size=1, max_size=8))
)
Conversation = tuple[tuple[int, bool], list[Packet]]


@given(CONVERSATIONS)
def test_what_is_written_is_read_back(conversation: Conversation) -> None:
    (version, from_client), said = conversation
    raw = b"".join(encode(packet, version) for packet in said)
    decoder = Decoder(LIMIT, version, from_client)
    assert decoder.feed(raw) == said
    assert decoder.fault is None
    assert decoder.held == 0


@given(st.sampled_from([4, 5]).flatmap(connects))
def test_a_connect_is_read_back_and_tells_its_version(packet: Packet) -> None:
    assert isinstance(packet, Connect)
    decoder = Decoder(LIMIT)
    assert decoder.feed(encode(packet, packet.version)) == [packet]
    assert decoder.version == packet.version


@given(CONVERSATIONS, st.data())
def test_slicing_never_changes_what_arrives(conversation: Conversation, data: st.DataObject) -> None:
    (version, from_client), said = conversation
    raw = b"".join(encode(packet, version) for packet in said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    decoder = Decoder(LIMIT, version, from_client)
    heard: list[Packet] = []
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        heard += decoder.feed(raw[begin:end])
    assert heard == said
    assert decoder.held == 0


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[int, bool, bytes]:
    """Bytes of legal packets with some changed, inserted or removed."""
    vectors = draw(st.lists(st.sampled_from([v for v in GOOD if len(v.raw) < 500]), min_size=1, max_size=4))
    raw = bytearray(b"".join(vector.raw for vector in vectors))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(raw) - 1, 0)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return vectors[0].version, vectors[0].from_client, bytes(raw)


@given(spoilt(), st.integers(1, 50))
def test_spoilt_bytes_never_raise_and_slicing_never_changes_the_verdict(
    case: tuple[int, bool, bytes], step: int
) -> None:
    version, from_client, raw = case
    for known in (0, version):
        whole = Decoder(LIMIT, known, from_client)
        packets = whole.feed(raw)
        sliced = Decoder(LIMIT, known, from_client)
        heard: list[Packet] = []
        for begin in range(0, len(raw), step):
            heard += sliced.feed(raw[begin : begin + step])
        assert heard == packets
        assert repr(sliced.fault) == repr(whole.fault)
        assert sliced.version == whole.version


@given(spoilt())
def test_what_is_read_from_spoilt_bytes_can_be_written(case: tuple[int, bool, bytes]) -> None:
    """The reader lets nothing pass that the writer would refuse: they have the same idea of what is legal."""
    version, from_client, raw = case
    for packet in Decoder(LIMIT, version, from_client).feed(raw):
        again = encode(packet, version)
        assert Decoder(LIMIT, version, from_client).feed(again) == [packet]


@given(st.binary(max_size=300), st.sampled_from([0, 4, 5]), st.booleans())
def test_random_bytes_never_raise(raw: bytes, version: int, from_client: bool) -> None:
    decoder = Decoder(LIMIT, version, from_client)
    decoder.feed(raw)
    assert decoder.held <= len(raw)


@given(spoilt(), st.booleans())
def test_a_link_survives_spoilt_bytes(case: tuple[int, bool, bytes], opened: bool) -> None:
    """Whatever comes, a link either goes on or is over, and what it says last is a packet."""
    version, _, raw = case
    server = Link(Role.SERVER, LIMIT)
    if opened:
        server.receive(encode(Connect(version, "d"), version), 0.0)
        server.send(Connack())
        server.take_output()
    server.receive(raw, 1.0)
    assert (server.fault is None) or server.left
    if server.fault is not None:
        server.close(server.fault.reason)
    last = b"".join(server.take_output())
    reader = Decoder(LIMIT, server.version, False)
    assert len(reader.feed(last)) == (1 if last else 0)
    assert reader.fault is None
