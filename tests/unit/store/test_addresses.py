"""The setting store.url."""

import ssl

import pytest

from longline.errors import SettingsError
from longline.store.addresses import Address, parse


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://db", [Address("db", 6379)]),
        ("redis://10.0.0.1:7000/0", [Address("10.0.0.1", 7000)]),
        ("redis://[::1]:7000", [Address("::1", 7000)]),
        ("redis://a:1,redis://b:2", [Address("a", 1), Address("b", 2)]),
        ("redis://a:1,b:2", [Address("a", 1), Address("b", 2)]),
        ("unix:///run/valkey.sock", [Address("/run/valkey.sock", 0)]),
    ],
)
def test_a_url_names_servers(url: str, addresses: list[Address]) -> None:
    contacts = parse(url)

    assert list(contacts.addresses) == addresses
    assert contacts.tls is None


def test_rediss_checks_certificates() -> None:
    tls = parse("rediss://db").tls

    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "http://db",
        "redis://db:70000",
        "redis://db/3",
        "unix://",
        "redis://user:hunter2@db",
        "rediss://db?ssl_ca_certs=/hunter2/missing.pem&ssl_certfile=/hunter2",
    ],
)
def test_a_wrong_url_is_named_and_its_secrets_are_not(url: str) -> None:
    with pytest.raises(SettingsError, match=r"store\.url") as caught:
        parse(url)

    assert "hunter2" not in str(caught.value)


def test_an_address_is_written_as_people_write_it() -> None:
    assert [str(Address("::1", 7000)), str(Address("db", 1)), str(Address("/run/s", 0))] == [
        "[::1]:7000",
        "db:1",
        "/run/s",
    ]
