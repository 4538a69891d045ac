"""Where clients of a room can go."""

from collections import Counter
from collections.abc import Sequence

from longline.keeper.port import Node
from longline.node.elsewhere import Elsewhere
from tests.unit.node.members import a_member

OWN = a_member("room-1", address="a:1883")


def knowing(*members: Node) -> Elsewhere:
    elsewhere = Elsewhere(lambda: "room-1")
    elsewhere.see(members)
    return elsewhere


def spread(elsewhere: Elsewhere, devices: int = 300) -> Counter[str | None]:
    return Counter(elsewhere.where("news", f"d{number}") for number in range(devices))


def test_clients_go_to_the_other_rooms_each_to_the_one_that_the_dispatcher_would_name() -> None:
    elsewhere = knowing(OWN, a_member("room-2", address="b:1883"), a_member("room-3", address="c:1883"))
    assert elsewhere.others()
    found = spread(elsewhere)
    assert set(found) == {"b:1883", "c:1883"}
    assert min(found.values()) > 100
    assert elsewhere.where("news", "d7") == elsewhere.where("news", "d7")


def test_clients_of_a_shared_port_come_back_by_the_address_that_they_know() -> None:
    elsewhere = knowing(OWN, a_member("room-2", address="a:1883"))
    assert elsewhere.others()
    assert elsewhere.where("news", "d1") is None


def test_nobody_is_sent_to_who_drains_or_is_no_room_or_is_of_another_pool() -> None:
    others: Sequence[Node] = (
        a_member("room-2", draining=True),
        a_member("room-3", pool="gray"),
        a_member("center-1", roles=("center",)),
    )
    elsewhere = knowing(OWN, *others)
    assert not elsewhere.others()
    assert elsewhere.where("news", "d1") is None


def test_what_was_known_of_this_room_holds_while_it_is_no_member() -> None:
    elsewhere = knowing(a_member("room-1", address="a:1883", pool="gray"))
    elsewhere.see([a_member("room-2", address="b:1883"), a_member("room-3", address="c:1883", pool="gray")])
    assert spread(elsewhere).keys() == {"c:1883"}


def test_who_knows_nobody_sends_nobody() -> None:
    elsewhere = Elsewhere(lambda: "room-1")
    assert not elsewhere.others()
    assert elsewhere.where("news", "d1") is None
