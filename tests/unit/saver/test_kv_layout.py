"""What is packed for the store comes back as it was."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from longline.model.ledger import State
from longline.model.messages import Message
from longline.saver.kv import layout

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
times = st.integers(0, 2**48 - 1)
messages = st.builds(
    Message,
    id=st.uuids().map(str),
    app=texts,
    payload=st.binary(max_size=200),
    content_type=st.sampled_from(["application/json", "text/plain;charset=utf-8"]) | texts,
    created_at=times,
    expires_at=times,
    qos=st.integers(0, 2),
    priority=st.sampled_from(["normal", "high"]) | texts,
    collapse_key=st.none() | texts,
    online_only=st.booleans(),
)


@given(messages)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    packed = layout.pack_message(message)
    assert layout.unpack_message(packed, layout.id_bytes(message.id)) == message


@given(messages)
def test_a_body_needs_what_an_inbox_entry_says_and_no_more(message: Message) -> None:
    packed = layout.pack_body(message)
    assert (
        layout.unpack_body(
            packed,
            layout.id_bytes(message.id),
            message.expires_at,
            message.collapse_key,
            message.online_only,
        )
        == message
    )


@given(st.uuids().map(str))
def test_an_id_comes_back_in_its_usual_form(message_id: str) -> None:
    assert layout.id_text(layout.id_bytes(message_id)) == message_id


@given(texts)
def test_what_is_not_an_id_is_nothing(text: str) -> None:
    assert layout.id_bytes(text) == b"" or len(text.replace("-", "")) == 32


def test_a_small_payload_costs_little_more_than_itself() -> None:
    message = Message(
        id="01890000-0000-7000-8000-000000000000",
        app="news",
        payload=b"x" * 32,
        content_type="application/json",
        created_at=1,
        expires_at=2,
    )
    assert len(layout.pack_body(message)) == 32 + 12


def test_a_delivery_tells_times_and_reason() -> None:
    packed = struct.pack(">BII", layout.CONNECTED | State.DROPPED, 6, 11) + b"too_large"
    delivery = layout.unpack_delivery(packed, 1000)
    assert (delivery.state, delivery.connected, delivery.reason) == (State.DROPPED, True, "too_large")
    assert (delivery.sent_at, delivery.settled_at) == (1005, 1010)
    assert delivery.sent


def test_a_delivery_of_which_nothing_is_known_has_no_times() -> None:
    delivery = layout.unpack_delivery(struct.pack(">BII", State.PENDING, 0, 0), 1000)
    assert (delivery.state, delivery.connected, delivery.reason) == (State.PENDING, False, None)
    assert (delivery.sent_at, delivery.settled_at) == (None, None)
    assert not delivery.sent


def test_a_binding_names_any_node() -> None:
    binding = layout.unpack_binding(b"1700000000000001 1700000000000 0 room 1")
    assert (binding.node, binding.epoch, binding.since) == ("room 1", 1700000000000001, 1700000000000)
