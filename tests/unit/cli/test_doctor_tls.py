"""The doctor's judgement of certificates, and of what goes in clear."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from longline.cli.doctor_tls import DAY, encryption
from longline.cli.finding import Finding
from longline.settings import Settings, load
from tests.certificates import Authority


def with_tls(folder: Path, days: float = 100, **room: str) -> Settings:
    chain, key = Authority(folder).server(hosts=["push.example.org", "10.0.0.1"], days=days)
    key.chmod(0o600)
    flags: dict[str, object] = {"room.tls_cert": chain, "room.tls_key": key}
    return load(flags=flags | {f"room.{name}": value for name, value in room.items()}).settings


def found(settings: Settings, clock: Callable[[], float] = time.time) -> dict[str, list[Finding]]:
    findings: dict[str, list[Finding]] = {}
    for finding in encryption(settings, clock):
        findings.setdefault(finding.check, []).append(finding)
    return findings


def test_a_certificate_in_good_order_gets_no_advice(tmp_path: Path) -> None:
    findings = found(with_tls(tmp_path, host="0.0.0.0", port="0", advertise="push.example.org"))
    [finding] = findings.pop("room.tls_cert")
    assert (finding.status, finding.advice) == ("ok", "")
    assert "100 more days" in finding.found
    assert findings == {}


@pytest.mark.parametrize(("days", "status"), [(13.0, "warn"), (-1.0, "bad"), (15.0, "ok")])
def test_a_certificate_is_to_be_renewed_in_time(tmp_path: Path, days: float, status: str) -> None:
    [finding] = found(with_tls(tmp_path, days))["room.tls_cert"]
    assert finding.status == status
    assert ("renew it" in finding.advice) == (status != "ok")


def test_time_passes(tmp_path: Path) -> None:
    [finding] = found(with_tls(tmp_path), lambda: time.time() + 200 * DAY)["room.tls_cert"]
    assert finding.status == "bad"


@pytest.mark.parametrize(
    ("host", "good"),
    [("push.example.org", True), ("10.0.0.1", True), ("10.0.0.2", False), ("else.example.org", False)],
)
def test_a_certificate_for_other_names_than_clients_are_told_is_noticed(
    tmp_path: Path, host: str, good: bool
) -> None:
    findings = found(with_tls(tmp_path, advertise=host))["room.tls_cert"]
    assert [finding.status for finding in findings] == (["ok"] if good else ["ok", "warn"])
    if not good:
        assert host in findings[1].advice


def test_a_certificate_that_cannot_be_used_is_bad_by_its_setting(tmp_path: Path) -> None:
    settings = with_tls(tmp_path)
    assert settings.room.tls_key is not None
    settings.room.tls_key.unlink()
    [finding] = found(settings)["room.tls_key"]
    assert finding.status == "bad"


def test_a_key_that_everybody_reads_is_noticed(tmp_path: Path) -> None:
    settings = with_tls(tmp_path)
    assert settings.room.tls_key is not None
    settings.room.tls_key.chmod(0o644)
    [finding] = found(settings)["room.tls_key"]
    assert finding.status == "warn"
    assert "chmod 600" in finding.advice


def test_what_others_reach_in_clear_is_noticed(tmp_path: Path) -> None:
    flags: dict[str, object] = {"room.host": "0.0.0.0", "center.host": "::"}
    assert found(load(flags=flags).settings).keys() == {"room.port", "center.port"}
    chain, key = Authority(tmp_path).server()
    key.chmod(0o600)
    flags |= {"center.tls_cert": chain, "center.tls_key": key, "room.port": 0}
    assert found(load(flags=flags).settings).keys() == {"center.tls_cert"}
    assert found(Settings()) == {}
