"""The pair carries packets whole, however it cuts them."""

import pytest

from longline.mqtt.link import Phase
from longline.mqtt.packets import Connack, Connect, Publish
from longline.testing.links import LinkPair


@pytest.mark.parametrize("step", [0, 1, 7])
def test_what_one_end_sends_arrives_at_the_other(step: int) -> None:
    pair = LinkPair(step=step)
    connect = Connect(5, "d1", keep_alive=30)
    pair.client.send(connect)
    assert pair.to_server() == [connect]
    pair.server.send(Connack())
    pair.server.send(Publish("push/m1", b"hello"))
    assert pair.to_client() == [Connack(), Publish("push/m1", b"hello")]
    assert (pair.client.phase, pair.server.phase) == (Phase.OPEN, Phase.OPEN)


def test_with_nothing_to_say_nothing_arrives() -> None:
    pair = LinkPair()
    assert pair.to_server() == []
    assert pair.to_client() == []
