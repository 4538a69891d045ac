"""What a connection with TLS takes and gives, whatever the network does to its bytes."""

import asyncio
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.tls.connection import LONGEST_HANDSHAKE, PAUSE_AT, RECORD
from tests.certificates import Authority
from tests.unit.tls.client import Above, Client, Site, shaken


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A listener that many connections of a test go through."""
    return Site(tmp_path_factory.mktemp("tls"))


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def only(site: Site, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = site.client_context()
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", [1, 3, 100, 1 << 20])
def test_however_the_network_cuts_the_bytes_the_same_arrives(
    site: Site, version: ssl.TLSVersion, step: int
) -> None:
    client = site.client(only(site, version))
    client.shake(step)
    for text in (b"hello", b"x" * 40_000, b"bye"):
        client.send(text)
        client.deliver(step)
    assert client.above.text == b"hello" + b"x" * 40_000 + b"bye"
    client.connection.write(b"y" * 100_000)
    assert client.receive() == b"y" * 100_000
    assert client.tls.version() == version.name.replace("_", ".")
    assert (site.counters.handshakes, site.counters.handshaking) == (1, 0)
    assert not site.reports


def test_what_comes_in_one_piece_is_given_in_one_piece(site: Site) -> None:
    """The protocol above decides what may wait by what it was given, not by how records were cut."""
    client = shaken(site)
    for text in (b"a", b"b" * RECORD, b"c" * 3):
        client.send(text)
    client.deliver()
    assert client.above.got == [b"a" + b"b" * RECORD + b"ccc"]


def test_what_comes_behind_the_handshake_in_the_same_read_is_not_lost(site: Site) -> None:
    client = site.client()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.deliver()
    site.turns.settle()
    client.fetch()
    client.tls.do_handshake()  # the client is through; its last words and its first wait together
    client.send(b"CONNECT")
    client.deliver()
    assert client.above.got == []
    site.turns.settle()
    assert client.above.got == [b"CONNECT"]


def last_flight(site: Site, above: Above | None = None) -> Client:
    """A client whose last words of the handshake and first packets have arrived, and have had no turn yet."""
    client = site.client(above=above)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.deliver()
    site.turns.settle()
    client.fetch()
    client.tls.do_handshake()
    client.send(b"CONNECT, PUBLISH")
    client.deliver()
    return client


def test_what_was_said_before_the_end_is_heard_though_the_handshake_had_to_wait_for_its_turn(
    site: Site,
) -> None:
    client = last_flight(site)
    assert client.connection.eof_received() is True  # not yet
    site.turns.turn()
    assert client.above.got == [b"CONNECT, PUBLISH"]
    assert client.above.ended
    assert client.over
    assert site.counters.failed == {}
    half_open = last_flight(site, Above(half_open=True))
    half_open.connection.eof_received()
    site.turns.settle()
    half_open.connection.write(b"CONNACK")
    assert half_open.receive() == b"CONNACK"


def test_an_end_in_the_middle_of_the_handshake_is_one_after_its_turn_too(site: Site) -> None:
    client = site.client()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.deliver()
    assert client.connection.eof_received() is True
    assert client.over
    assert site.counters.failed == {"hung_up": 1}


def test_it_tells_of_itself_before_the_handshake_so_that_it_can_be_refused_for_nothing(site: Site) -> None:
    class Refusing(Above):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            cast(asyncio.Transport, transport).abort()

    client = site.client(above=Refusing())
    assert client.wire.aborted
    assert client.over
    assert site.counters.handshaking == 0
    assert site.counters.failed == {"given_up": 1}
    assert not site.reports, "whoever has refused it has told of it"


def test_what_is_written_before_the_handshake_is_over_goes_nowhere(site: Site) -> None:
    client = site.client()
    client.connection.write(b"in clear")
    assert client.wire.writes == []
    client.shake()
    assert client.receive() == b""


def test_connections_that_share_their_buffers_never_meet_in_them(site: Site) -> None:
    clients = [shaken(site) for _ in range(3)]
    halves = []
    for number, client in enumerate(clients):
        client.send(bytes([number]) * 5000)
        data = client.outgoing.read()
        client.connection.data_received(data[:2000])  # a record in part, while others have their turn
        halves.append(data[2000:])
    for client, rest in zip(clients, halves, strict=True):
        client.connection.data_received(rest)
    for number, client in enumerate(clients):
        assert client.above.text == bytes([number]) * 5000
        client.connection.write(bytes([number]))
    assert [client.receive() for client in clients] == [b"\0", b"\1", b"\2"]


def test_a_connection_that_breaks_leaves_nothing_behind_for_the_next(site: Site) -> None:
    broken, fine = shaken(site), shaken(site)
    broken.connection.data_received(b"\x17\x03\x03\x00\x20" + bytes(32) + b"\x17\x03\x03")
    assert broken.over
    assert not fine.wire.closing
    fine.send(b"hello")
    fine.deliver()
    assert fine.above.text == b"hello"
    assert site.counters.failed == {"broken": 1}
    assert [code for code, _, _ in site.reports] == ["tls_broken"]


@given(data=st.data())
def test_bytes_that_were_changed_on_their_way_end_the_connection_and_nothing_else(
    busy: Site, data: st.DataObject
) -> None:
    site = busy
    client, other = shaken(site), shaken(site)
    client.send(b"x" * 100)
    record = bytearray(client.outgoing.read())
    at = data.draw(st.integers(5, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    client.connection.data_received(bytes(record))
    assert client.over
    assert client.above.text == b""
    other.send(b"fine")
    other.deliver()
    assert other.above.text == b"fine"
    assert not site.faults.counts


@given(nonsense=st.binary(min_size=1, max_size=600))
def test_nonsense_instead_of_a_handshake_raises_nothing(busy: Site, nonsense: bytes) -> None:
    site = busy
    client, other = site.client(), shaken(site)
    client.connection.data_received(nonsense)
    site.turns.settle()
    if client.wire.protocol is not None and not client.wire.closing:
        client.connection.eof_received()
        client.wire.close()
    assert client.over
    other.send(b"fine")
    other.deliver()
    assert other.above.text == b"fine"
    assert not site.faults.counts


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04d123", "not_tls"),
        (b"GET / HTTP/1.1\r\n\r\n", "not_tls"),
        (b"\x16\x03\x01\x7f\xff", "not_tls"),  # a record longer than records are
        (b"\x16\x05\x01\x00\x05", "not_tls"),
        (b"\x80\x2e\x01\x00\x02", "not_tls"),  # SSL 2
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "malformed"),
    ],
)
def test_what_is_no_tls_is_refused_by_kind(site: Site, first: bytes, kind: str) -> None:
    client = site.client()
    client.connection.data_received(first)
    assert client.over
    assert site.counters.failed == {kind: 1}
    assert [(code, peer) for code, peer, _ in site.reports] == [(f"tls_{kind}", "192.0.2.1")]


def test_versions_before_1_2_are_refused_with_an_alert(site: Site) -> None:
    hello = client_hello(0x0302)
    client = site.client()
    client.connection.data_received(hello)
    assert client.over
    assert site.counters.failed == {"version": 1}
    alert = b"".join(client.wire.writes)
    assert (alert[0], alert[-2:]) == (0x15, b"\x02\x46")  # fatal, protocol_version


def test_a_client_with_which_nothing_is_shared_is_refused_by_that_name(site: Site) -> None:
    context = only(site, ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-SHA")
    with pytest.raises(ssl.SSLError):
        site.client(context).shake()
    assert site.counters.failed == {"nothing_in_common": 1}


def test_a_client_that_does_not_take_our_certificate_is_counted_by_its_alert(
    site: Site, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(Authority(tmp_path / "other").ca)
    client = site.client(context)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.shake()
    client.deliver()
    assert client.over
    assert site.counters.failed == {"alert": 1}


def test_a_good_bye_is_heard_and_answered(site: Site) -> None:
    client = shaken(site)
    client.send(b"DISCONNECT")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.deliver()
    assert client.above.text == b"DISCONNECT"
    assert client.above.ended
    assert client.over
    client.fetch()
    client.tls.unwrap()  # ours has come: nothing was cut off


def test_what_is_said_before_the_end_is_heard_before_it(site: Site) -> None:
    client = shaken(site)
    order: list[str] = []
    client.above.on_data = lambda data: order.append(f"data, ended={client.above.ended}")
    client.send(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.deliver()
    assert order == ["data, ended=False"]
    assert client.above.ended


def test_who_only_stops_speaking_can_still_be_spoken_to(site: Site) -> None:
    client = site.client(above=Above(half_open=True))
    client.shake()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.deliver()
    assert client.above.ended
    assert not client.wire.closing
    client.connection.write(b"an answer")
    assert client.wire.writes


def test_the_end_of_the_socket_without_a_good_bye_is_the_end(site: Site) -> None:
    client = shaken(site)
    assert client.connection.eof_received() is False
    assert client.above.ended
    half_open = site.client(above=Above(half_open=True))
    half_open.shake()
    assert half_open.connection.eof_received() is True


def test_closing_says_good_bye_after_all_that_was_written(site: Site) -> None:
    client = shaken(site)
    client.connection.write(b"the last message")
    client.connection.close()
    assert client.connection.is_closing()
    client.connection.write(b"too late")
    client.connection.close()
    client.fetch()
    assert client.tls.read(100) == b"the last message"
    assert client.tls.read(100) == b""  # close_notify, and not a cut
    assert client.over


def test_a_close_from_within_what_came_is_a_close(site: Site) -> None:
    client = shaken(site)
    client.above.on_data = lambda data: client.connection.close()
    client.send(b"a")
    client.deliver()
    client.send(b"b")
    client.deliver()
    assert client.above.got == [b"a"]
    assert client.over


def test_a_connection_that_is_lost_in_its_handshake_is_counted_once(site: Site) -> None:
    client = site.client()
    client.wire.abort()
    assert client.over
    assert site.counters.failed == {"hung_up": 1}
    assert site.counters.handshaking == 0
    assert site.reports == [], "a balancer looks whether we are there"
    ended = site.client()
    ended.connection.data_received(b"\x16\x03")
    assert ended.connection.eof_received() is False
    assert ended.over
    assert site.counters.failed == {"hung_up": 2}
    assert [code for code, _, _ in site.reports] == ["tls_hung_up"]


def test_writing_to_a_socket_that_was_closed_under_us_is_told_as_sockets_tell_it(site: Site) -> None:
    client = shaken(site)
    client.wire.closing = True
    with pytest.raises(RuntimeError):
        client.connection.write(b"too late")


def test_flow_is_the_sockets(site: Site) -> None:
    client = shaken(site)
    client.connection.set_write_buffer_limits(high=1000)
    assert client.wire.high == 1000
    client.wire.slow = True
    client.connection.write(b"x" * 2000)
    assert client.above.paused
    client.wire.read()
    assert not client.above.paused
    client.connection.pause_reading()
    assert not client.wire.reading
    client.connection.resume_reading()
    assert client.wire.reading


def test_a_handshake_without_end_has_one(site: Site) -> None:
    """Messages of a handshake that is never over: records in it that OpenSSL would gather for long."""
    client = site.client()
    piece = b"\x16\x03\x01\x3f\xfc" + b"\x01\x01\xff\xff" + bytes(0x3FFC - 4)
    for _ in range(LONGEST_HANDSHAKE // len(piece) + 2):
        if client.wire.protocol is None or client.wire.closing:
            break
        client.connection.data_received(piece)
        site.turns.settle()
        piece = b"\x16\x03\x01\x3f\xfc" + bytes(0x3FFC)
    assert client.over
    assert sum(site.counters.failed.values()) == 1


def test_no_more_is_read_than_may_wait_for_the_turn_of_a_handshake(site: Site) -> None:
    client = site.client()
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.deliver()
    site.turns.settle()
    client.fetch()
    client.tls.do_handshake()
    client.send(b"x" * 2 * PAUSE_AT)
    client.deliver(RECORD)
    assert not client.wire.reading
    site.turns.settle()
    assert client.wire.reading
    assert client.above.text == b"x" * 2 * PAUSE_AT


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_shows_a_certificate_that_is_believed(tmp_path: Path, version: ssl.TLSVersion) -> None:
    authority = Authority(tmp_path / "clients")
    site = Site(tmp_path, client_ca=authority.ca)
    context = only(site, version)
    context.load_cert_chain(*authority.client("phone1", "news"))
    client = site.client(context)
    client.shake()
    shown = client.connection.get_extra_info("peercert")
    assert isinstance(shown, dict)
    assert (("commonName", "phone1"),) in shown["subject"]
    without = site.client(only(site, version))
    without.shake()
    assert not without.connection.get_extra_info("peercert")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_of_another_authority_or_out_of_date_gets_nobody_in(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    authority = Authority(tmp_path / "clients")
    site = Site(tmp_path, client_ca=authority.ca)
    for pair in (
        Authority(tmp_path / "strangers", "A stranger").client("phone1", "news"),
        authority.client("phone2", "news", days=-1),
    ):
        context = only(site, version)
        context.load_cert_chain(*pair)
        client = site.client(context)
        with suppress(ssl.SSLError):
            client.shake()
            client.receive()
        assert client.over
    assert site.counters.failed == {"client_certificate": 2}


def test_it_says_that_it_is_tls_and_passes_on_what_the_socket_says(site: Site) -> None:
    client = shaken(site)
    assert client.connection.get_extra_info("transport") == "tls"
    assert client.connection.get_extra_info("sslcontext") is site.server
    assert client.connection.get_extra_info("peername") == ("192.0.2.1", 50_000)
    assert client.connection.get_extra_info("nothing", "of that kind") == "of that kind"


def client_hello(version: int) -> bytes:
    """A ClientHello that knows no version but this and earlier ones."""
    body = struct.pack("!H", version) + bytes(32) + b"\0" + b"\x00\x04\xc0\x13\xc0\x09" + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message
