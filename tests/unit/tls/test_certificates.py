"""A certificate as its files have it: taken, refused with a reason, replaced while it is in use."""

import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509

from longline.errors import SettingsError
from longline.tls.certificates import Certificates
from longline.tls.counters import TlsCounters
from longline.tls.dates import valid_until
from longline.tls.openssl import openssl
from longline.tls.tickets import PERIOD, TicketKeys
from tests.certificates import Authority, Pair

DAY = 86_400


class Held:
    """A server's certificate, in files that the test replaces."""

    def __init__(self, folder: Path, *, tickets: bool = False, client_ca: Path | None = None) -> None:
        self.authority = Authority(folder)
        self.now = time.time()
        self.chain, self.key = self.authority.server()
        self.counters = TlsCounters()
        self.certificates = Certificates(
            "room.tls",
            self.chain,
            self.key,
            client_ca,
            counters=self.counters,
            tickets=TicketKeys(folder / "data", lambda: self.now) if tickets else None,
            clock=lambda: self.now,
        )

    def put(self, pair: Pair) -> None:
        """Replaces the files by those of another certificate, as `mv` does."""
        pair.certificate.rename(self.chain)
        pair.key.rename(self.key)

    def shown(self, hello: bytes = b"") -> bytes:
        """The certificate that a new client is shown."""
        client, _ = handshake(self.certificates.context(hello), self.authority)
        der = client.getpeercert(binary_form=True)
        assert der is not None
        return der


def handshake(
    server: ssl.SSLContext,
    authority: Authority,
    *,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    context: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A client's end and a server's, after their handshake."""
    if context is None:
        context = a_client(authority, version)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    served = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, served, client, served, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    served.write(b".")
    assert client.read(1) == b"."
    return client, served


def a_client(authority: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.ca)
    context.minimum_version = context.maximum_version = version
    return context


def der_of(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def test_a_certificate_that_changes_is_put_to_use_once_its_files_are_left_alone(tmp_path: Path) -> None:
    held = Held(tmp_path)
    before = held.shown()
    fresh = held.authority.server("fresh", days=9)
    wanted = der_of(fresh.certificate)
    held.put(fresh)
    held.certificates.look()  # it has changed, and may be changing still
    assert held.shown() == before
    held.certificates.look()
    assert held.shown() == wanted
    assert held.certificates.seconds_left == pytest.approx(9 * DAY, abs=60)
    assert (held.counters.reloads, held.counters.reload_failures) == (1, 0)
    held.certificates.look()
    assert held.counters.reloads == 1


def test_a_certificate_without_its_new_key_waits_for_it(tmp_path: Path) -> None:
    held = Held(tmp_path)
    before = held.shown()
    fresh = held.authority.server("fresh", key="rsa")
    wanted = der_of(fresh.certificate)
    fresh.certificate.rename(held.chain)
    held.certificates.look()
    held.certificates.look()
    assert held.shown() == before
    assert held.counters.reload_failures == 1
    fresh.key.rename(held.key)
    held.certificates.look()
    held.certificates.look()
    assert held.shown() == wanted
    assert (held.counters.reloads, held.counters.reload_failures) == (1, 1)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None]
)
def test_what_cannot_be_used_is_told_once_and_the_one_at_hand_stays(
    tmp_path: Path, content: bytes | None
) -> None:
    held = Held(tmp_path)
    before = held.shown()
    if content is None:
        held.chain.unlink()
    else:
        held.chain.write_bytes(content)
    for _ in range(5):
        held.certificates.look()
    assert held.shown() == before
    assert (held.counters.reloads, held.counters.reload_failures) == (0, 1)


def test_the_authorities_of_clients_are_loaded_anew_too(tmp_path: Path) -> None:
    clients = Authority(tmp_path / "clients")
    held = Held(tmp_path, client_ca=clients.ca)
    others = Authority(tmp_path / "others", "Others")
    context = a_client(held.authority, ssl.TLSVersion.TLSv1_2)
    context.load_cert_chain(*others.client("phone1", "news"))
    with pytest.raises(ssl.SSLError):
        handshake(held.certificates.context(b""), held.authority, context=context)
    others.ca.rename(clients.ca)
    held.certificates.look()
    held.certificates.look()
    _, served = handshake(held.certificates.context(b""), held.authority, context=context)
    assert served.getpeercert()


# --- at the start --------------------------------------------------------------------------------


def refused(chain: Path, key: Path, client_ca: Path | None = None) -> tuple[str, str]:
    with pytest.raises(SettingsError) as caught:
        Certificates("room.tls", chain, key, client_ca, counters=TlsCounters())
    [(setting, problem)] = caught.value.details
    return setting, problem


def test_what_cannot_be_used_at_the_start_is_told_by_the_setting_that_is_wrong(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, other, rsa = authority.server(), authority.server("other"), authority.server("rsa", key="rsa")
    text = tmp_path / "text"
    text.write_text("not PEM")
    locked = tmp_path / "locked.key"
    locked.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHj\n-----END ENCRYPTED PRIVATE KEY-----\n")
    missing = tmp_path / "missing"
    assert refused(missing, good.key) == ("room.tls_cert", f"{missing}: No such file or directory")
    assert refused(good.certificate, missing)[0] == "room.tls_key"
    assert refused(text, good.key) == ("room.tls_cert", f"{text} holds no certificate in PEM")
    assert refused(good.key, good.key)[0] == "room.tls_cert"
    assert refused(good.certificate, good.certificate)[0] == "room.tls_key"
    assert "without a password" in refused(good.certificate, locked)[1]
    assert refused(good.certificate, text)[0] == "room.tls_key"
    for wrong in (other, rsa):
        setting, problem = refused(good.certificate, wrong.key)
        assert setting == "room.tls_key"
        assert problem == f"{wrong.key} is not the key of the certificate in {good.certificate}"
    assert refused(*good, text) == ("room.tls_client_ca", f"{text} holds no certificates in PEM")
    assert refused(*good, missing)[0] == "room.tls_client_ca"


def test_a_certificate_that_has_expired_is_used_all_the_same(tmp_path: Path) -> None:
    """The log, the figures and the doctor tell of it; a node that stays down helps nobody."""
    pair = Authority(tmp_path).server(days=-1)
    certificates = Certificates("room.tls", *pair, counters=TlsCounters())
    assert certificates.seconds_left == pytest.approx(-DAY, abs=60)


def test_a_chain_is_good_until_the_first_of_it_ends(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    short, long = authority.server("short", days=1), authority.server("long", days=9)
    pem = b"# a comment\n" + long.certificate.read_bytes() + short.certificate.read_bytes()
    expected = x509.load_pem_x509_certificate(short.certificate.read_bytes()).not_valid_after_utc
    assert valid_until(pem) == expected.timestamp()
    assert valid_until(long.certificate.read_bytes() + b"\n") != expected.timestamp()
    assert valid_until(b"") is None
    assert valid_until(pem.replace(b"MII", b"AAA")) is None


# --- tickets -------------------------------------------------------------------------------------

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def test_the_functions_of_openssl_are_found() -> None:
    """On every Python that the suite runs on; without them tickets hold for one process only."""
    assert openssl() is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_is_good_at_every_process_of_the_host(tmp_path: Path, version: ssl.TLSVersion) -> None:
    first = Held(tmp_path, tickets=True)
    second = Certificates(
        "room.tls",
        first.chain,
        first.key,
        counters=TlsCounters(),
        tickets=TicketKeys(tmp_path / "data", lambda: first.now),
    )
    context = a_client(first.authority, version)
    client, served = handshake(first.certificates.context(b""), first.authority, context=context)
    assert not served.session_reused
    assert client.session is not None
    assert client.session.ticket_lifetime_hint == PERIOD
    for process in (second, first.certificates):
        _, served = handshake(process.context(b""), first.authority, context=context, session=client.session)
        assert served.session_reused


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_is_good_for_another_day_after_its_key_was_replaced(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    held = Held(tmp_path, tickets=True)
    context = a_client(held.authority, version)
    client, _ = handshake(held.certificates.context(b""), held.authority, context=context)

    def resumed() -> bool:
        hello = hello_of(context, client.session)
        _, served = handshake(
            held.certificates.context(hello), held.authority, context=context, session=client.session
        )
        return served.session_reused

    held.now += PERIOD
    held.certificates.look()
    assert resumed()
    held.now += PERIOD
    held.certificates.look()
    assert not resumed()


def hello_of(context: ssl.SSLContext, session: ssl.SSLSession | None) -> bytes:
    """The ClientHello that a client with this session begins with."""
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost", session=session)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def test_a_session_is_not_gone_on_with_where_its_authorities_are_not_believed_any_more(
    tmp_path: Path,
) -> None:
    clients = Authority(tmp_path / "clients")
    held = Held(tmp_path, tickets=True, client_ca=clients.ca)
    context = a_client(held.authority)
    context.load_cert_chain(*clients.client("phone1", "news"))
    client, _ = handshake(held.certificates.context(b""), held.authority, context=context)
    _, served = handshake(
        held.certificates.context(b""), held.authority, context=context, session=client.session
    )
    assert served.session_reused
    assert served.getpeercert()
    Authority(tmp_path / "others").ca.rename(clients.ca)
    held.certificates.look()
    held.certificates.look()
    with pytest.raises(ssl.SSLError):
        handshake(held.certificates.context(b""), held.authority, context=context, session=client.session)


def test_what_one_listener_began_another_does_not_go_on_with(tmp_path: Path) -> None:
    """A session of the API is none of a room's, though the keys of the tickets are the same."""
    held = Held(tmp_path, tickets=True)
    center = Certificates(
        "center.tls",
        held.chain,
        held.key,
        counters=TlsCounters(),
        tickets=TicketKeys(tmp_path / "data", lambda: held.now),
    )
    context = a_client(held.authority)
    client, _ = handshake(center.context(b""), held.authority, context=context)
    _, served = handshake(
        held.certificates.context(b""), held.authority, context=context, session=client.session
    )
    assert not served.session_reused


def test_where_openssl_is_out_of_reach_there_are_tickets_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longline.tls.certificates.openssl", lambda: None)
    held = Held(tmp_path, tickets=True)
    assert not (tmp_path / "data").exists()
    context = a_client(held.authority)
    client, _ = handshake(held.certificates.context(b""), held.authority, context=context)
    _, served = handshake(
        held.certificates.context(b""), held.authority, context=context, session=client.session
    )
    assert served.session_reused
