"""Where clients of a room can go."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from longline.keeper.port import Node
from longline.node.move_targets import MoveTargets
from tests.unit.node.members import a_member

OWN = a_member("room-1", address="a:1883")


def knowing(*members: Node) -> MoveTargets:
    rooms = MoveTargets(lambda: "room-1")
    rooms.see(members)
    return rooms


def spread(rooms: MoveTargets, devices: int = 300) -> Counter[str | None]:
    return Counter(rooms.address("news", f"d{number}", "tcp") for number in range(devices))


def test_clients_go_to_the_other_rooms_each_to_the_one_that_the_dispatcher_would_name() -> None:
    rooms = knowing(OWN, a_member("room-2", address="b:1883"), a_member("room-3", address="c:1883"))
    assert rooms.any()
    found = spread(rooms)
    assert set(found) == {"b:1883", "c:1883"}
    assert min(found.values()) > 100
    assert rooms.address("news", "d7", "tcp") == rooms.address("news", "d7", "tcp")


def test_a_client_is_named_the_listener_of_the_transport_that_it_came_by() -> None:
    both = {"mqtt": "b:1883", "mqtts": "b:8883"}
    rooms = knowing(
        OWN,
        msgspec.structs.replace(a_member("room-2"), addresses=both),
        a_member("room-3", address="c:1883"),  # without TLS
    )
    found = {rooms.address("news", f"d{number}", "tls") for number in range(50)}
    assert found == {"b:8883"}
    assert {rooms.address("news", f"d{number}", "tcp") for number in range(50)} == {"b:1883", "c:1883"}
    assert rooms.address("news", "d1", "ws") is None


def test_clients_of_a_shared_port_come_back_by_the_address_that_they_know() -> None:
    rooms = knowing(OWN, a_member("room-2", address="a:1883"))
    assert rooms.any()
    assert rooms.address("news", "d1", "tcp") is None


def test_nobody_is_sent_to_who_drains_or_is_no_room_or_is_of_another_pool() -> None:
    others: Sequence[Node] = (
        a_member("room-2", draining=True),
        a_member("room-3", pool="gray"),
        a_member("center-1", roles=("center",)),
    )
    rooms = knowing(OWN, *others)
    assert not rooms.any()
    assert rooms.address("news", "d1", "tcp") is None


def test_what_was_known_of_this_room_holds_while_it_is_no_member() -> None:
    rooms = knowing(a_member("room-1", address="a:1883", pool="gray"))
    rooms.see([a_member("room-2", address="b:1883"), a_member("room-3", address="c:1883", pool="gray")])
    assert spread(rooms).keys() == {"c:1883"}


def test_who_knows_nobody_sends_nobody() -> None:
    rooms = MoveTargets(lambda: "room-1")
    assert not rooms.any()
    assert rooms.address("news", "d1", "tcp") is None


def at(name: str, address: str, host: str) -> Node:
    return msgspec.structs.replace(a_member(name, address=address), host=host)


def test_elsewhere_is_another_address_or_another_host() -> None:
    """Who shares both with this room shares its fate; behind a balancer all have one address."""
    own = at("room-1", "a:1883", "one")
    rooms = knowing(own, at("room-2", "a:1883", "one"))
    assert rooms.any()
    assert not rooms.any_elsewhere()
    assert rooms.address_elsewhere("news", "d1", "tcp") is None
    rooms = knowing(own, at("room-2", "a:1883", "two"))
    assert rooms.any_elsewhere()
    assert rooms.address_elsewhere("news", "d1", "tcp") is None, "by the address that it knows"
    rooms = knowing(own, at("room-2", "a:1883", "one"), at("room-3", "b:1883", "one"))
    assert rooms.any_elsewhere()
    assert {rooms.address_elsewhere("news", f"d{number}", "tcp") for number in range(50)} == {"b:1883"}
