"""What goes with the endpoints: hints that spread a stampede, and a view that outlives the keeper."""

import asyncio
from typing import cast

import pytest

from longline.dispatcher.stampede import NETWORKS
from longline.errors import Unavailable
from longline.keeper.port import Node
from longline.model.apps import App
from longline.saver.port.apps import AppStore
from longline.settings import DispatcherSettings
from tests.unit.dispatcher.rooms import PEER, Post, a_room, run_view
from tests.waiting import until


class Apps:
    """A store that has these, and fails when it is asked again."""

    def __init__(self, *names: str) -> None:
        self.asked = False
        self._names = names

    async def list(self, after: str, limit: int) -> list[App]:
        if self.asked:
            raise Unavailable
        self.asked = True
        return [
            App(
                app=name,
                number=1,
                name=name,
                server_key_hash=b"",
                device_secret="",
                pubsub=False,
                created_at=1,
            )
            for name in self._names
        ]


def a_pair() -> list[Node]:
    """Two dispatchers."""
    return [Node(node=name, roles=("dispatcher",), addresses={}, since=1, version="1") for name in ("a", "b")]


def test_clients_that_come_in_good_order_may_connect_at_once() -> None:
    post = Post([a_room(1), a_room(2)], DispatcherSettings(reconnect_rate=100))
    for number in range(1000):
        post.now += 1 / 150
        answer = post.dispatcher.look_up(
            "news", f"d{number}", transport="tcp", network="", region="", peer=PEER
        )
        assert answer.backoff.after_ms == 0
        assert (answer.heartbeat.keep_alive, answer.expires_in) == (240, 300)


def test_a_stampede_is_spread_over_the_time_that_the_rooms_need_for_it() -> None:
    post = Post([a_room(1), a_room(2)], DispatcherSettings(reconnect_rate=100))
    answers = [
        post.dispatcher.look_up("news", f"d{number}", transport="tcp", network="", region="", peer=PEER)
        for number in range(15_000)
    ]
    # 15,000 clients at 200 a second take 75 s; the hand that draws always draws the middle.
    assert 37_000 < answers[-1].backoff.after_ms < 38_000
    assert answers[-1].backoff.initial_ms > answers[0].backoff.initial_ms
    post.now += 80
    calm = post.dispatcher.look_up("news", "late", transport="tcp", network="", region="", peer=PEER)
    assert calm.backoff.after_ms == 0


def test_dispatchers_that_share_the_clients_share_what_the_rooms_take() -> None:
    alone, one_of_two = (
        Post([a_room(1), *others], DispatcherSettings(reconnect_rate=100)) for others in ([], a_pair())
    )
    waits = [
        max(
            post.dispatcher.look_up(
                "news", f"d{n}", transport="tcp", network="", region="", peer=PEER
            ).backoff.after_ms
            for n in range(1000)
        )
        for post in (alone, one_of_two)
    ]
    assert waits[1] == pytest.approx(2 * waits[0], rel=0.01)


def wait(post: Post, device: str, peer: str, app: str = "news") -> float:
    """Seconds that a client of this address is told to take."""
    answer = post.dispatcher.look_up(app, device, transport="tcp", network="", region="", peer=peer)
    return 2 * answer.backoff.after_ms / 1000  # the hand that draws always draws the middle


def test_who_floods_waits_for_itself_and_nobody_else_does() -> None:
    post = Post([a_room(1)], DispatcherSettings(reconnect_rate=100))
    flood = [wait(post, f"d{n}", "192.0.2.66") for n in range(100_000)]
    assert flood[-1] == pytest.approx(1000, rel=0.01)
    assert wait(post, "calm", "192.0.2.1") == 0
    # A carrier's gateway, whose devices all come at once.
    gateway = [wait(post, f"g{n}", "198.51.100.1") for n in range(500)]
    assert gateway[-1] == pytest.approx(2 * 500 / 100, rel=0.02), "half of what the rooms take is theirs"
    assert wait(post, "d", "192.0.2.66") == pytest.approx(1005, rel=0.01)


def test_a_flood_from_many_addresses_of_one_network_is_one_flood() -> None:
    post = Post([a_room(1)], DispatcherSettings(reconnect_rate=100))
    for n in range(10_000):
        wait(post, f"d{n}", f"2001:db8::{n:x}")
    assert wait(post, "calm", "2001:db8:1::1") == 0


def test_clients_of_many_networks_share_what_the_rooms_take() -> None:
    """As if there were no networks: whoever comes waits for those before it."""
    post = Post([a_room(1)], DispatcherSettings(reconnect_rate=100))
    waits = [wait(post, f"d{n}", f"10.{n >> 8}.{n & 255}.1") for n in range(5000)]
    assert waits[-1] == pytest.approx(50, rel=0.02)
    post.now += 25
    assert wait(post, "d", "192.0.2.1") == pytest.approx(25, rel=0.02)
    post.now += 26
    assert wait(post, "d", "192.0.2.2") == 0


def test_more_networks_than_can_be_told_apart_share_a_line() -> None:
    post = Post([a_room(1)], DispatcherSettings(reconnect_rate=100))
    addresses = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(NETWORKS + 5000)]
    waits = [wait(post, "d", address) for address in addresses]
    assert len(post.dispatcher._stampede._ends) == NETWORKS + 1
    assert waits[-1] > 100


async def test_apps_that_do_not_exist_make_nobody_wait() -> None:
    post = Post([a_room(1)], DispatcherSettings(reconnect_rate=100))
    store = Apps("news")
    watching = asyncio.create_task(post.dispatcher.watch(cast(AppStore, store)))
    await until(lambda: store.asked)
    assert {wait(post, f"d{n}", PEER, app=f"made-up-{n}") for n in range(1000)} == {0}
    assert [wait(post, f"d{n}", PEER) for n in range(500)][-1] == pytest.approx(5, rel=0.01)
    assert wait(post, "d", PEER, app="made-up") == pytest.approx(5, rel=0.01), "it learns nothing by that"
    watching.cancel()


async def test_the_view_follows_the_keeper() -> None:
    post = Post([])
    viewing = run_view(post)
    await post.keeper.join(a_room(1))
    await until(lambda: post.dispatcher.statistics()["rooms"])
    assert post.hosts("phone") == ["10.0.0.1"]
    viewing.cancel()


def test_the_last_view_is_kept_while_the_keeper_is_gone() -> None:
    post = Post([a_room(1)])
    post.keeper.gone = True
    post.dispatcher.see([])
    assert post.hosts("phone") == ["10.0.0.1"]


def test_history_is_bounded() -> None:
    post = Post([a_room(1)])
    for number in range(100_050):
        post.dispatcher.look_up("news", str(number), transport="tcp", network="", region="", peer=PEER)
    assert post.dispatcher.statistics()["history"] == 100_000
