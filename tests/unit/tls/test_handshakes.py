"""How many handshakes there may be, for how long, and what they cost the others."""

import itertools
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from longline.tls.handshakes import BUDGET
from tests.unit.tls.client import Client, Site, shaken

Kernel = Callable[..., socket.socket]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """Makes sockets in which so much is unread."""
    with ExitStack() as opened:

        def with_unread(data: bytes = b"") -> socket.socket:
            near, far = map(opened.enter_context, socket.socketpair())
            if data:
                far.send(data)
            return near

        yield with_unread


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, limit=3, timeout=10.0)


def asking(site: Site) -> Client:
    """A client whose ClientHello has arrived and whose handshake has not had its turn."""
    client = site.client()
    with suppress(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.deliver()
    return client


def answered(site: Site, kernel: Kernel) -> Client:
    """A client that has been answered, and owes us the rest."""
    client = asking(site)
    client.wire.socket = kernel()  # which can say that nothing is unread
    site.turns.settle()
    return client


def test_a_handshake_waits_for_a_turn_and_turns_are_short(site: Site) -> None:
    site.handshakes.limit = 10
    clients = [asking(site) for _ in range(6)]
    assert not any(client.wire.writes for client in clients)

    def slow() -> float:
        """Each look at the clock finds that a third of a turn has passed."""
        site.now += BUDGET / 2.9
        return site.now

    site.clock = slow
    site.turns.turn()
    assert [bool(client.wire.writes) for client in clients] == [True] * 3 + [False] * 3
    site.turns.turn()
    assert all(client.wire.writes for client in clients)
    assert not site.turns.waiting


def test_those_under_way_go_before_those_that_begin(site: Site) -> None:
    site.handshakes.limit = 10
    first = asking(site)
    site.turns.settle()
    first.fetch()
    begin = [asking(site) for _ in range(3)]
    first.tls.do_handshake()
    first.deliver()
    clock = itertools.count(1)
    site.clock = lambda: next(clock)  # so each is all that there is time for in a turn
    site.turns.turn()
    assert site.counters.handshakes == 1
    assert not any(client.wire.writes for client in begin)


def test_one_more_takes_the_place_of_the_oldest_whose_client_keeps_us_waiting(
    site: Site, kernel: Kernel
) -> None:
    slow = [answered(site, kernel) for _ in range(3)]
    client = shaken(site)
    assert [each.over for each in slow] == [True, False, False]
    assert not client.over
    assert site.counters.failed == {"displaced": 1}
    assert site.reports == [("tls_displaced", "everybody", "others wait, and this one keeps us waiting")]


def test_one_more_is_refused_for_nothing_while_it_is_us_who_are_late(site: Site) -> None:
    waiting = [asking(site) for _ in range(3)]
    client = asking(site)
    assert client.over
    assert client.wire.writes == []
    assert site.counters.failed == {"too_many": 1}
    assert [(code, peer) for code, peer, _ in site.reports] == [("tls_too_many", "everybody")]
    for each in waiting:
        each.shake()
    assert site.counters.handshakes == 3
    shaken(site)


def test_who_has_said_something_that_we_have_not_read_is_not_let_go(site: Site, kernel: Kernel) -> None:
    slow = [answered(site, kernel) for _ in range(3)]
    for client in slow:
        client.wire.socket = kernel(b"it is here")
    assert asking(site).over
    assert not any(client.over for client in slow)


def test_those_who_have_not_said_hello_take_nobodys_place(site: Site) -> None:
    silent = [site.client() for _ in range(20)]
    part = site.client()
    part.connection.data_received(b"\x16\x03\x01\x02\x00" + bytes(100))
    shaken(site)
    assert not any(client.over for client in (*silent, part))
    assert site.counters.handshaking == 21


def test_a_handshake_that_takes_too_long_is_ended_and_one_that_was_over_is_not(
    site: Site, kernel: Kernel
) -> None:
    done, silent, half = shaken(site), site.client(), answered(site, kernel)
    site.now += 9.9
    site.loop.tick()
    late = site.client()
    site.now += 0.2
    site.loop.tick()
    assert [client.over for client in (done, silent, half, late)] == [False, True, True, False]
    assert site.counters.failed == {"timeout": 2}
    site.now += 10.0
    site.loop.tick()
    assert late.over
    assert site.counters.handshaking == 0
    assert site.loop.later == [], "nobody is waited for"
    site.client()
    assert len(site.loop.later) == 1


def test_whom_we_keep_waiting_is_not_too_late(site: Site) -> None:
    client = asking(site)
    site.now += 20.0
    site.loop.tick()
    assert not client.wire.closing
    client.shake()
    assert site.counters.handshakes == 1


def test_what_nobody_foresaw_with_one_costs_the_others_nothing(site: Site) -> None:
    fails = True

    def context(hello: bytes) -> ssl.SSLContext:
        nonlocal fails
        if fails:
            fails = False
            raise RuntimeError("unforeseen")
        return site.server

    site.context = context
    broken, fine = asking(site), asking(site)
    site.turns.settle()
    assert broken.over
    fine.shake()
    assert site.counters.handshakes == 1
    assert site.faults.counts == {"tls.handshakes": 1}
    assert site.counters.handshaking == 0


def test_none_is_remembered_once_it_is_over(site: Site) -> None:
    for _ in range(10):
        client = shaken(site)
        client.wire.abort()
        assert client.over
    assert site.counters.handshakes == 10
    assert site.counters.handshaking == 0
