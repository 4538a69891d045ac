"""TLS of load clients, against the standard library's server in memory and over real sockets."""

import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from longline.bench.hot.cipher import RECORD, Cipher
from longline.bench.hot.shaker import Shakes, ShakingClient
from longline.bench.hot.wire import LIVE, Handshakes, LoadClient, Poller
from longline.bench.targets import AnyTarget, BenchFailed
from tests.certificates import Authority

CONNACK = b"\x20\x02\x00\x00"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def serving_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server())
    return context


def believing(authority: Authority) -> ssl.SSLContext:
    context = AnyTarget(tls=True, ca=authority.ca).context()
    assert context is not None
    return context


class Served:
    """A server's end in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def hear(self, data: bytes) -> bytes:
        """Goes on with the handshake; what the server says."""
        self.incoming.write(data)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def say(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self.outgoing.read()


def shaken(cipher: Cipher, context: ssl.SSLContext) -> tuple[ssl.SSLObject, Served]:
    """Both ends of a connection whose handshake is over."""
    client, server = cipher.begin(), Served(context)
    said, over = b"", False
    while not over:
        over = cipher.shake(client, said)
        said = server.hear(cipher.take())
    cipher.clear(client, said)  # the tickets
    return client, server


@pytest.mark.parametrize("size", [1, 100, RECORD, RECORD + 1, 100_000])
def test_what_is_covered_is_read_at_the_other_end_and_back(
    authority: Authority, serving_context: ssl.SSLContext, size: int
) -> None:
    cipher = Cipher(believing(authority), "127.0.0.1")
    client, server = shaken(cipher, serving_context)
    data = random.Random(size).randbytes(size)
    server.incoming.write(cipher.cover(client, data))
    heard = b""
    while len(heard) < size:
        heard += server.tls.read(RECORD)
    assert heard == data
    assert cipher.clear(client, server.say(data)) == data


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_two_clients_share_a_cipher_record_by_record(
    authority: Authority, serving_context: ssl.SSLContext, step: int
) -> None:
    """A part of a record may wait while another client is served, as each keeps its own."""
    cipher = Cipher(believing(authority), "127.0.0.1")
    ends = [shaken(cipher, serving_context) for _ in range(2)]
    sealed = [server.say(name * 100) for (_, server), name in zip(ends, (b"first", b"other"), strict=True)]
    heard = [b"", b""]
    for at in range(0, max(map(len, sealed)), step):
        for place, (client, _) in enumerate(ends):
            heard[place] += cipher.clear(client, sealed[place][at : at + step])
    assert heard == [b"first" * 100, b"other" * 100]


def test_a_certificate_that_nobody_has_signed_is_refused_and_leaves_nothing_behind(
    authority: Authority, serving_context: ssl.SSLContext, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "another authority")
    cipher = Cipher(believing(other), "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(cipher, serving_context)
    cipher.take()
    assert (cipher.incoming.pending, cipher.outgoing.pending) == (0, 0)
    cipher.context = believing(authority)
    client, server = shaken(cipher, serving_context)
    assert cipher.clear(client, server.say(b"well")) == b"well"


def test_a_file_of_authorities_that_is_none_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(BenchFailed, match=r"ca\.pem"):
        AnyTarget(tls=True, ca=file).context()


@contextmanager
def listening(context: ssl.SSLContext, answer: bytes) -> Iterator[tuple[str, int]]:
    """A server that shakes hands with everybody, hears once, answers, and waits for the end."""

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as sock:
                if sock.recv(100):
                    sock.sendall(answer)
                    sock.recv(100)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, name="tls")
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_client_shakes_hands_before_it_greets(
    authority: Authority, serving_context: ssl.SSLContext
) -> None:
    poller, handshakes = Poller(), Handshakes(Cipher(believing(authority), "127.0.0.1"))
    with listening(serving_context, CONNACK) as address:
        client = LoadClient(poller, handshakes, b"hello", b"")
        client.open(address, "")
        while handshakes.pending:
            poller.turn(1.0)
        poller.close()
    assert (handshakes.live, handshakes.refused) == (1, {})
    assert client.phase == LIVE


def test_handshakes_are_whole_ones_and_counted_by_their_version(
    authority: Authority, serving_context: ssl.SSLContext
) -> None:
    poller = Poller()
    with listening(serving_context, b"") as address:
        shakes = Shakes(Cipher(believing(authority), "127.0.0.1"), address)
        shakes.idle = [ShakingClient(poller, shakes) for _ in range(2)]
        while shakes.done < 6:
            shakes.turn(poller)
        poller.close()
    assert (shakes.resumed, shakes.failed) == (0, {})
    assert shakes.versions == {"TLSv1.3": shakes.done}
    assert shakes.taken.total == shakes.done
