"""What goes with the endpoints: hints that spread a stampede, and a view that outlives the keeper."""

import pytest

from longline.keeper.port import Node
from longline.settings import DispatcherSettings
from tests.unit.dispatcher.rooms import Post, a_room, run_view
from tests.waiting import until


def a_pair() -> list[Node]:
    """Two dispatchers."""
    return [Node(node=name, roles=("dispatcher",), addresses={}, since=1, version="1") for name in ("a", "b")]


def test_clients_that_come_in_good_order_may_connect_at_once() -> None:
    post = Post([a_room(1), a_room(2)], DispatcherSettings(reconnect_rate=100))
    for number in range(1000):
        post.now += 1 / 150
        answer = post.dispatcher.look_up("news", f"d{number}", transport="tcp", network="", region="")
        assert answer.backoff.after_ms == 0
        assert (answer.heartbeat.keep_alive, answer.expires_in) == (240, 300)


def test_a_stampede_is_spread_over_the_time_that_the_rooms_need_for_it() -> None:
    post = Post([a_room(1), a_room(2)], DispatcherSettings(reconnect_rate=100))
    answers = [
        post.dispatcher.look_up("news", f"d{number}", transport="tcp", network="", region="")
        for number in range(15_000)
    ]
    # 15,000 clients at 200 a second take 75 s; the hand that draws always draws the middle.
    assert 37_000 < answers[-1].backoff.after_ms < 38_000
    assert answers[-1].backoff.initial_ms > answers[0].backoff.initial_ms
    post.now += 80
    calm = post.dispatcher.look_up("news", "late", transport="tcp", network="", region="")
    assert calm.backoff.after_ms == 0


def test_dispatchers_that_share_the_clients_share_what_the_rooms_take() -> None:
    alone, one_of_two = (
        Post([a_room(1), *others], DispatcherSettings(reconnect_rate=100)) for others in ([], a_pair())
    )
    waits = [
        max(
            post.dispatcher.look_up("news", f"d{n}", transport="tcp", network="", region="").backoff.after_ms
            for n in range(1000)
        )
        for post in (alone, one_of_two)
    ]
    assert waits[1] == pytest.approx(2 * waits[0], rel=0.01)


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
        post.dispatcher.look_up("news", str(number), transport="tcp", network="", region="")
    assert post.dispatcher.statistics()["history"] == 100_000
