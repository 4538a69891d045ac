"""Whom an HTTP client believes."""

import ssl

import pytest

from longline.sdk.http import trusted_by


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_who_never_speaks_tls_reads_no_authorities() -> None:
    for url in ("http://127.0.0.1:8080", "http://push.example.org"):
        context = trusted_by(url, None)
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.cert_store_stats()["x509"] == 0


def test_a_server_is_verified_by_those_given_or_by_the_systems() -> None:
    given = ssl.create_default_context()
    assert trusted_by("https://push.example.org", None) is True
    assert trusted_by("https://push.example.org", given) is given
    assert trusted_by("http://127.0.0.1", given) is given


def test_a_proxy_may_speak_tls_whatever_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "https://proxy.example.org")
    assert trusted_by("http://push.example.org", None) is True
    assert trusted_by("http://127.0.0.1", None) is not True
