"""Who is sent where: by share of the weights, near first, the same again, and never to who drains."""

import pytest

from longline.dispatcher.ranking import LEAST, headroom
from longline.errors import Unavailable
from longline.keeper.port import Load
from longline.settings import DispatcherSettings
from tests.unit.dispatcher.rooms import Post, a_room

CLIENTS = 15_000


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 4), (0.5, 0.5, 10)])
def test_clients_that_come_at_once_spread_as_the_weights_say(weights: tuple[float, ...]) -> None:
    post = Post([a_room(number, weight=weight) for number, weight in enumerate(weights, 1)])
    spread = post.spread(CLIENTS)
    for number, weight in enumerate(weights, 1):
        fair = CLIENTS * weight / sum(weights)
        assert spread[f"10.0.0.{number}"] == pytest.approx(fair, rel=0.1)


def test_every_dispatcher_gives_a_client_the_same_answer() -> None:
    rooms = [a_room(number) for number in range(1, 6)]
    one, other = Post(rooms), Post(list(reversed(rooms)))
    assert [one.hosts(f"d{n}") for n in range(100)] == [other.hosts(f"d{n}") for n in range(100)]


def test_a_room_that_goes_moves_only_its_own_clients() -> None:
    rooms = [a_room(number) for number in range(1, 6)]
    before = Post(rooms)
    after = Post(rooms[:-1])
    for number in range(1000):
        first = before.hosts(f"d{number}")[0]
        if first != "10.0.0.5":
            assert after.hosts(f"d{number}")[0] == first


def test_a_client_is_sent_where_it_was_though_another_room_has_come() -> None:
    post = Post([a_room(1), a_room(2)])
    firsts = {f"d{number}": post.hosts(f"d{number}")[0] for number in range(200)}
    post.dispatcher.see([a_room(1), a_room(2), a_room(3)])
    assert {device: post.hosts(device)[0] for device in firsts} == firsts
    assert {post.hosts(f"new{number}")[0] for number in range(200)} == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}


def test_a_client_is_not_sent_back_to_a_room_that_is_full_or_drains() -> None:
    post = Post([a_room(1), a_room(2)])
    devices = [f"d{number}" for number in range(200)]
    mine = [device for device in devices if post.hosts(device)[0] == "10.0.0.1"]
    post.dispatcher.see([a_room(1, load=Load(connections=995, capacity=1000)), a_room(2)])
    back = sum(post.hosts(device)[0] == "10.0.0.1" for device in mine)
    assert back < len(mine) * 0.2, "only what is left of its weight"
    post.dispatcher.see([a_room(1, draining=True), a_room(2)])
    assert {post.hosts(device)[0] for device in mine} == {"10.0.0.2"}


def test_rooms_that_drain_are_better_than_none() -> None:
    post = Post([a_room(1, draining=True)])
    assert post.hosts("phone") == ["10.0.0.1"]


def test_a_client_stays_in_its_network_and_then_in_its_region() -> None:
    post = Post(
        [
            a_room(1, region="north", networks=("red",)),
            a_room(2, region="north"),
            a_room(3, region="south", networks=("blue",)),
            a_room(4, region="south"),
        ]
    )
    for number in range(50):
        assert set(post.hosts(f"d{number}", region="south")[:2]) == {"10.0.0.3", "10.0.0.4"}
        assert post.hosts(f"d{number}", region="south", network="red")[0] == "10.0.0.1"
        assert len(post.hosts(f"d{number}", region="nowhere")) == 3, "a region that nobody is in leaves all"


def test_apps_on_the_white_list_go_to_their_pool_and_others_never() -> None:
    settings = DispatcherSettings(pools=("beta=gray",))
    post = Post([a_room(1), a_room(2), a_room(3, pool="gray")], settings)
    assert {post.hosts(f"d{n}", app="beta")[0] for n in range(50)} == {"10.0.0.3"}
    assert {host for n in range(50) for host in post.hosts(f"d{n}")} == {"10.0.0.1", "10.0.0.2"}


def test_a_pool_without_rooms_falls_back_to_the_common_one() -> None:
    post = Post([a_room(1)], DispatcherSettings(pools=("beta=gray",)))
    assert post.hosts("phone", app="beta") == ["10.0.0.1"]


def test_rooms_behind_one_address_are_one_endpoint_with_their_weights_together() -> None:
    rooms = [a_room(number, address="10.0.0.9:1883") for number in range(3)]
    post = Post([*rooms, a_room(8)])
    spread = post.spread(4000)
    assert spread["10.0.0.9"] == pytest.approx(3000, rel=0.1)
    assert sorted(post.hosts("phone")) == ["10.0.0.8", "10.0.0.9"]


def test_a_transport_that_no_room_has_is_said_to_be_unavailable() -> None:
    post = Post([a_room(1)])
    assert post.hosts("phone", transport="ws") == ["10.0.0.1"]
    with pytest.raises(Unavailable) as caught:
        post.hosts("phone", transport="wss")
    assert caught.value.retry_after is not None


@pytest.mark.parametrize(
    ("load", "left"),
    [
        (Load(), 1.0),
        (Load(connections=800, capacity=1000), 1.0),
        (Load(connections=900, capacity=1000), 0.5),
        (Load(connections=2000, capacity=1000), LEAST),
        (Load(cpu=0.9), 0.5),
        (Load(cpu=3.0), LEAST),
        (Load(lag=0.5), 0.1),
        (Load(lag=100.0), LEAST),
    ],
)
def test_a_room_keeps_of_its_weight_what_its_load_leaves(load: Load, left: float) -> None:
    assert headroom(a_room(1, load=load)) == pytest.approx(left)
