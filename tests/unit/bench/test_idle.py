"""Keep alive without a timer for each connection."""

import socket

from longline.bench.hot.idle import PINGREQ, IdleClient, KeepAlive
from longline.bench.hot.wire import Handshakes, Poller

SECOND = 1_000_000_000


def idle_client(poller: Poller, keeper: KeepAlive) -> tuple[IdleClient, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    client = IdleClient(poller, Handshakes(), keeper, b"hello")
    client.adopt(ours, False)
    return client, theirs


def received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(100)
    except BlockingIOError:
        return b""


def test_each_link_pings_when_its_own_interval_is_over() -> None:
    poller, keeper = Poller(), KeepAlive(10.0)
    (early, first), (late, second) = idle_client(poller, keeper), idle_client(poller, keeper)
    with first, second:
        early.settle(0)
        late.settle(5 * SECOND)
        seen = []
        for now in range(0, 31, 5):
            keeper.ping(now * SECOND)
            seen.append((received(first), received(second)))
        assert [a == PINGREQ for a, _ in seen] == [False, False, True, False, True, False, True]
        assert [b == PINGREQ for _, b in seen] == [False, False, False, True, False, True, False]
        assert keeper.pings == 5
    poller.close()


def test_a_lost_link_leaves_the_queue() -> None:
    poller, keeper = Poller(), KeepAlive(10.0)
    client, peer = idle_client(poller, keeper)
    client.settle(0)
    peer.close()
    poller.turn(1.0)
    keeper.ping(11 * SECOND)
    assert (keeper.pings, len(keeper.queue), client.handshakes.lost) == (0, 0, 1)
    poller.close()


def test_without_a_keep_alive_nothing_is_sent() -> None:
    poller, keeper = Poller(), KeepAlive(0.0)
    client, peer = idle_client(poller, keeper)
    with peer:
        client.settle(0)
        keeper.ping(1 << 60)
        assert received(peer) == b""
    poller.close()
