"""What `unicast` posts and what it reads of the answers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.bench.hot.courier import (
    MARK_BYTES,
    STAMP_BYTES,
    Courier,
    after_properties,
    content_length,
    first_message_id,
)
from longline.bench.hot.wire import Poller
from longline.bench.push import device_name
from longline.bench.unicast import message_opening
from longline.mqtt.codec import encode
from longline.mqtt.packets import Publish
from longline.mqtt.properties import PropertyId

MARK = b"0123abcd"


def courier(devices: int, size: int, *, single: bool = False, rate: float = 0.0) -> Courier:
    made = Courier(Poller(), 4, MARK, size, 4, 100, single, rate)
    made.openings = [message_opening(device_name(number)) for number in range(devices)]
    return made


def messages_of(body: bytes) -> list[dict[str, object]]:
    return msgspec.json.decode(body, type=dict[str, list[dict[str, object]]])["messages"]


@pytest.mark.parametrize("size", [STAMP_BYTES, 128, 1000])
def test_a_batch_is_json_for_the_next_devices_in_turn(size: int) -> None:
    sender = courier(3, size)
    messages = messages_of(sender.body(4, 99)) + messages_of(sender.body(4, 99))
    assert [message["audience"] for message in messages] == [
        {"devices": [device_name(number % 3)]} for number in range(8)
    ]
    payloads = [str(message["payload"]) for message in messages]
    assert {len(payload) for payload in payloads} == {size}
    assert [int(payload[MARK_BYTES + 16 : STAMP_BYTES], 16) for payload in payloads] == list(range(8))
    sender.poller.close()


def test_a_message_alone_is_its_json_and_no_batch() -> None:
    sender = courier(2, 128, single=True)
    assert sender.batch == 1
    messages = [msgspec.json.decode(sender.body(1, 99), type=dict[str, object]) for _ in range(3)]
    assert [message["audience"] for message in messages] == [
        {"devices": [device_name(number % 2)]} for number in range(3)
    ]
    sender.poller.close()


def test_a_rate_says_when_the_next_request_is_due() -> None:
    sender = courier(1, STAMP_BYTES, rate=1000.0)
    assert sender.due(5_000_000) == 5_000_000
    sender.body(4, 5_000_000)
    assert sender.due(6_000_000) == 5_000_000 + 4_000_000
    sender.poller.close()


def test_each_message_counts_once_and_only_those_of_this_run() -> None:
    sender = courier(1, STAMP_BYTES)
    first, second = (str(message["payload"]).encode() for message in messages_of(sender.body(2, 100)))
    for payload in (first, first, second, b"ffffffff" + first[MARK_BYTES:]):
        sender.receive(b"??" + payload, 2, 350)
    assert (sender.received, sender.duplicates, sender.foreign) == (2, 1, 1)
    assert (sender.receipts.total, sender.receipts.highest, sender.last_receipt) == (2, 250, 350)
    sender.poller.close()


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 17\r\nserver: x", 17),
        (b"HTTP/1.1 202 Accepted\r\nserver: x\r\nContent-Length:17", 17),
        (b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked", -1),
    ],
)
def test_the_length_of_an_answer_is_found_in_its_head(head: bytes, length: int) -> None:
    assert content_length(head) == length


def test_the_first_message_id_is_found_with_and_without_spaces() -> None:
    assert first_message_id(b'{"results":[{"message_id":"m1"},{"message_id":"m2"}]}') == b"m1"
    assert first_message_id(b'{"results": [{"error": {}}, {"message_id" : "m2"}]}') == b"m2"


@given(st.text(max_size=300), st.binary(min_size=1, max_size=20))
def test_the_payload_is_found_behind_any_properties(content_type: str, payload: bytes) -> None:
    text = content_type.replace("\x00", "").encode("utf-8", "ignore").decode()
    packet = encode(Publish("t", payload, properties={PropertyId.CONTENT_TYPE: text}), 5)
    topic = 2 if packet[1] < 128 else 3
    assert packet[after_properties(packet, topic + 3) :] == payload
