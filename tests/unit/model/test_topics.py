"""The table of topics is what the page for device developers says, and what a room does."""

import re
from pathlib import Path
from typing import Final

import pytest

from longline.model.topics import LINK_PREFIX, PUSH_PREFIX, RESERVED, TOPICS, Topic, Use
from longline.mqtt.moving import MOVED_TOPIC
from longline.mqtt.packets import Puback, Publish, Suback, Subscribe, Subscription
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import SHARE_PREFIX
from tests.unit.room.fixture import RoomFixture

PAGE: Final = (Path(__file__).parents[3] / "docs" / "mqtt.md").read_text("utf-8")

FORMS: Final = {topic.form for topic in TOPICS}


def test_the_page_has_the_same_table() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert rows == [
        (topic.form, topic.direction.value, topic.publish.value, topic.subscribe.value) for topic in TOPICS
    ]


def test_the_page_names_the_first_levels_that_are_the_platforms() -> None:
    (named,) = re.findall(r"platform's own first levels \(([^)]+)\)", PAGE)
    assert set(re.findall(r"`([a-z]+)/`", named)) == RESERVED


def test_each_kind_is_in_the_table_once() -> None:
    assert len(FORMS) == len(TOPICS)


def test_the_names_by_which_others_know_topics_are_those_of_the_table() -> None:
    assert {PUSH_PREFIX + "{message_id}", MOVED_TOPIC, SHARE_PREFIX + "{name}/…"} <= FORMS
    assert MOVED_TOPIC.startswith(LINK_PREFIX)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.form)
def test_a_room_takes_and_refuses_what_the_table_says(topic: Topic) -> None:
    name = re.sub(r"{\w+}", "x", topic.form).replace("…", "y")
    peer = RoomFixture().client("phone")
    peer.send(Publish(name, b"x", 1, packet_id=1))
    # This room has no handlers, and nothing is attached: so all of it is refused.
    assert peer.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
    peer.send(Subscribe(2, [Subscription(name, 1)]))
    (answer,) = peer.receive()
    assert isinstance(answer, Suback)
    refused = topic.subscribe in (Use.REFUSED, Use.ATTACHED)
    assert (answer.reasons[0] >= ReasonCode.UNSPECIFIED_ERROR) == refused
    peer.send(Publish(name, b"x", 1, packet_id=3))
    assert not [packet for packet in peer.receive() if isinstance(packet, Publish)]
