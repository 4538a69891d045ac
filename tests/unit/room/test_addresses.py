from collections.abc import Sequence

import pytest

from longline.room.wire.addresses import Addresses
from tests.unit.room.fixture import Peer, RoomFixture


class Gate:
    """A room whose connections pass `Addresses` first."""

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        max_connections: int = 1000,
        listener_share: int = 0,
        per_address: int = 0,
        rate: float = 0,
        rate_per_address: float = 0,
    ) -> None:
        self.room = RoomFixture(admits=lambda connection: self.addresses.admit(connection))
        self.addresses = Addresses(
            self.room.counters,
            lambda: self.room.time,
            allow=allow,
            deny=deny,
            max_connections=max_connections,
            listener_share=listener_share,
            per_address=per_address,
            rate=rate,
            rate_per_address=rate_per_address,
        )
        self.room.services.released = self.addresses.release

    def connect(self, address: str | None = "192.0.2.1") -> Peer:
        return self.room.peer(address=(address, 50_000) if address is not None else None)

    def admits(self, address: str | None = "192.0.2.1") -> bool:
        return not self.connect(address).wire.aborted

    @property
    def refused(self) -> dict[str, int]:
        return self.room.counters.refused


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.1.2.3", "address_denied"),
        ("10.1.9.9", None),
        ("192.0.2.1", "address_not_allowed"),
        ("2001:db8::1", None),
        ("2001:db9::1", "address_not_allowed"),
        ("fe80::1%eth0", "address_not_allowed"),
    ],
)
def test_deny_is_looked_at_first_and_then_allow(address: str, code: str | None) -> None:
    gate = Gate(allow=["10.0.0.0/8", "2001:db8::/32"], deny=["10.1.2.0/24"])
    assert gate.admits(address) == (code is None)
    assert gate.refused == ({code: 1} if code else {})


@pytest.mark.parametrize(("address", "admitted"), [("::ffff:10.1.2.3", False), ("::ffff:192.0.2.1", True)])
def test_an_ipv4_address_is_itself_also_on_a_dual_stack_listener(address: str, admitted: bool) -> None:
    """RFC 4291, section 2.5.5.2: otherwise binding to `::` would switch every IPv4 rule off."""
    assert Gate(deny=["10.0.0.0/8"]).admits(address) == admitted
    assert Gate(allow=["192.0.2.0/24"]).admits(address) == admitted


def test_a_connection_that_has_gone_already_is_not_let_past_a_rule() -> None:
    gate = Gate(deny=["10.0.0.0/8"])
    assert not gate.admits(None)
    assert gate.refused == {"address_unknown": 1}
    assert Gate().admits(None)  # without rules nobody asks


def test_the_number_of_connections_is_bounded() -> None:
    gate = Gate(max_connections=2)
    first = gate.connect()
    assert gate.admits()
    assert not gate.admits()
    assert gate.refused == {"too_many_connections": 1}
    gate.room.turns.settle()
    first.wire.abort()
    assert first.over
    assert gate.admits()


def test_the_connections_of_one_address_are_bounded_and_given_back() -> None:
    gate = Gate(per_address=2)
    first = gate.connect("192.0.2.1")
    assert gate.admits("192.0.2.1")
    assert not gate.admits("192.0.2.1")
    assert gate.admits("192.0.2.2")
    gate.room.turns.settle()  # the refused one ends, and gives nothing back
    assert not gate.admits("192.0.2.1")
    first.wire.abort()
    assert first.over
    assert gate.admits("192.0.2.1")
    assert gate.refused == {"too_many_connections_per_address": 2}


def test_the_rate_of_all_holds_a_seconds_worth_and_fills_again() -> None:
    gate = Gate(rate=2)
    assert [gate.admits(f"192.0.2.{n}") for n in range(4)] == [True, True, False, False]
    gate.room.time += 0.5
    assert [gate.admits() for _ in range(2)] == [True, False]
    gate.room.time += 100
    assert [gate.admits() for _ in range(3)] == [True, True, False]
    assert gate.refused == {"connect_rate": 4}


def test_a_rate_below_one_lets_one_through_now_and_then() -> None:
    gate = Gate(rate=0.1)
    assert [gate.admits(), gate.admits()] == [True, False]
    gate.room.time += 10
    assert [gate.admits(), gate.admits()] == [True, False]


def test_the_rate_of_one_address_is_its_own() -> None:
    gate = Gate(rate_per_address=1)
    assert [gate.admits("192.0.2.1"), gate.admits("192.0.2.1"), gate.admits("192.0.2.2")] == [
        True,
        False,
        True,
    ]
    gate.room.time += 1
    assert gate.admits("192.0.2.1")
    assert gate.refused == {"connect_rate_per_address": 1}


def test_who_is_refused_for_its_own_address_takes_nothing_of_the_rate_of_all() -> None:
    """Otherwise one denied address that dials in a loop would keep everybody out."""
    gate = Gate(deny=["10.0.0.0/8"], rate=1, per_address=5, rate_per_address=5)
    assert not any(gate.admits("10.0.0.1") for _ in range(20))
    assert gate.admits("192.0.2.1")
    assert gate.refused == {"address_denied": 20}


def test_who_is_refused_for_the_rate_of_all_does_not_count_for_its_address() -> None:
    gate = Gate(rate=1, per_address=1)
    assert gate.admits("192.0.2.1")
    assert not gate.admits("192.0.2.2")
    gate.room.time += 1
    assert gate.admits("192.0.2.2")


def test_a_whole_network_of_ipv6_is_one_peer() -> None:
    """A subscriber has 2^64 addresses, and may come from another one each time."""
    gate = Gate(per_address=2)
    first = gate.connect("2001:db8::1")
    assert gate.admits("2001:db8::ffff:2")
    assert not gate.admits("2001:db8::3")
    assert gate.admits("2001:db8:0:1::1")
    first.wire.abort()
    gate.room.turns.settle()
    assert gate.admits("2001:db8::3")
    rated = Gate(rate_per_address=1)
    assert rated.admits("2001:db8::1")
    assert not rated.admits("2001:db8::2")


def test_however_many_come_by_one_listener_there_is_room_at_the_others() -> None:
    gate = Gate(max_connections=1000, listener_share=5)
    tcp, web, _ = (gate.addresses.share() for _ in range(3))
    there = [gate.room.peer(share=tcp) for _ in range(1000)]
    assert [peer.wire.aborted for peer in there].count(False) == 990
    gate.room.turns.settle()
    others = [gate.room.peer(share=web) for _ in range(10)]
    assert [peer.wire.aborted for peer in others] == [False] * 5 + [True] * 5
    gate.room.turns.settle()
    there[0].wire.abort()
    gate.room.turns.settle()
    assert not gate.room.peer(share=tcp).wire.aborted  # it recovers
    assert gate.room.peer(share=tcp).wire.aborted
    assert gate.refused == {"too_many_connections": 16}


def test_what_is_kept_for_a_listener_is_a_hundredth_at_most() -> None:
    gate = Gate(max_connections=50, listener_share=100)
    tcp, _ = gate.addresses.share(), gate.addresses.share()
    assert not any(gate.room.peer(share=tcp).wire.aborted for _ in range(50))
