"""The doctor's judgement, on hosts made up for it."""

import resource
from pathlib import Path

import pytest

from longline.cli import doctor
from longline.cli.doctor import (
    data_folder,
    examine,
    filesystem_of,
    kernel,
    open_files,
    sync_time,
)
from longline.cli.finding import Finding
from longline.node.files import Files
from longline.settings import RoomSettings, Settings
from longline.telemetry import build

GENEROUS = {
    "fs.file-max": "9223372036854775807",
    "fs.nr_open": "20000000",
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
    "net.ipv4.tcp_mem": "100000 200000 4000000",
    "net.ipv4.ip_local_port_range": "1024\t65535",
}


def host(proc: Path, **changes: str) -> Path:
    """A /proc with these kernel settings; in names, `__` stands for a dot."""
    for name, value in {
        **GENEROUS,
        **{key.replace("__", "."): value for key, value in changes.items()},
    }.items():
        file = proc / "sys" / name.replace(".", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return proc


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_a_generous_kernel_gets_no_advice(tmp_path: Path) -> None:
    findings = list(kernel(Settings(), host(tmp_path)))
    assert len(findings) == len(GENEROUS)
    assert {(finding.status, finding.advice) for finding in findings} == {("ok", "")}


def test_a_short_accept_queue_is_advised_to_be_as_long_as_the_setting(tmp_path: Path) -> None:
    found = by_name(list(kernel(Settings(), host(tmp_path, net__core__somaxconn="128"))))[
        "net.core.somaxconn"
    ]
    assert found.status == "warn"
    assert found.advice == '`sysctl -w net.core.somaxconn="4096"`'


def test_only_the_number_that_is_too_small_is_changed(tmp_path: Path) -> None:
    findings = by_name(list(kernel(Settings(), host(tmp_path, net__ipv4__tcp_mem="10 20 30"))))
    assert findings["net.ipv4.tcp_mem"].advice == '`sysctl -w net.ipv4.tcp_mem="10 20 1000000"`'


def test_a_firewall_that_tracks_fewer_connections_is_noticed(tmp_path: Path) -> None:
    proc = host(tmp_path, net__netfilter__nf_conntrack_max="65536")
    assert by_name(list(kernel(Settings(), proc)))["net.netfilter.nf_conntrack_max"].status == "warn"


def test_a_kernel_setting_that_does_not_exist_is_left_out(tmp_path: Path) -> None:
    assert list(kernel(Settings(), tmp_path)) == []


def test_a_narrow_port_range_is_noticed(tmp_path: Path) -> None:
    proc = host(tmp_path, net__ipv4__ip_local_port_range="60000 60999")
    found = by_name(list(kernel(Settings(), proc)))["net.ipv4.ip_local_port_range"]
    assert found.status == "warn"
    assert found.found.startswith("1,000 ")


@pytest.mark.parametrize(
    ("soft", "status"), [(1024, "warn"), (1_012_658, "ok"), (resource.RLIM_INFINITY, "ok"), (10, "warn")]
)
def test_the_file_limit_is_compared_with_the_connections_wanted(
    soft: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))
    found = open_files(1_000_000)
    assert found.status == status
    assert ("LimitNOFILE=1012658" in found.advice) == (status == "warn")


def test_the_connections_that_doctor_counts_are_those_that_a_process_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20_000, 20_000))
    room = Files(1_000_000).within(RoomSettings(max_connections=1_000_000))
    assert f"{room.max_connections:,} connections" in open_files(1_000_000).found
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_012_658, 1_012_659))
    assert Files(1_000_000).within(room).max_connections == room.max_connections
    assert Files(1_000_000).connections == 1_000_000


def mountinfo(proc: Path, *mounts: tuple[str, str]) -> Path:
    (proc / "self").mkdir(exist_ok=True)
    lines = [f"36 35 98:0 / {point} rw,noatime shared:1 - {kind} none rw" for point, kind in mounts]
    (proc / "self" / "mountinfo").write_text("\n".join(lines) + "\n")
    return proc


def test_the_file_system_is_that_of_the_nearest_mount_above(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    proc = mountinfo(tmp_path, ("/", "ext4"), (str(tmp_path.resolve()), "xfs"), (f"{data}x", "tmpfs"))
    assert filesystem_of(data, proc) == "xfs"
    assert filesystem_of(Path("/"), proc) == "ext4"


def test_a_data_folder_in_memory_is_noticed(tmp_path: Path) -> None:
    proc = mountinfo(tmp_path, ("/", "tmpfs"))
    found = next(data_folder(tmp_path / "not" / "made" / "yet", proc))
    assert found.status == "warn"
    assert "tmpfs" in found.found


@pytest.mark.parametrize(("seconds", "status"), [(0.000001, "warn"), (0.0005, "ok"), (0.05, "warn")])
def test_a_sync_is_judged_by_its_median_time(seconds: float, status: str, tmp_path: Path) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += seconds
        return now[0]

    assert sync_time(tmp_path, clock).status == status
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("origin", "compiled"),
    [
        ("codec.cpython-311-x86_64-linux-gnu.so", True),
        ("codec.abi3.so", True),
        ("codec.py", False),
    ],
)
def test_the_hot_path_is_compiled_when_its_module_is_an_extension(
    origin: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spec:
        pass

    spec = Spec()
    spec.__dict__["origin"] = f"/x/longline/mqtt/{origin}"
    monkeypatch.setattr(build, "find_spec", lambda _: spec)
    assert build.hot_path_compiled() is compiled
    assert doctor.hot_path().status == ("ok" if compiled else "warn")


@pytest.mark.parametrize(("version", "status"), [("3.51.2.0", "bad"), ("3.51.3.0", "ok"), ("3.54.1.0", "ok")])
def test_a_sqlite_that_can_lose_data_is_bad(
    version: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "version", lambda _: version)
    assert doctor.sqlite().status == status


@pytest.mark.parametrize(
    ("room", "status", "found"),
    [
        (RoomSettings(), "ok", "127.0.0.1:1883"),
        (RoomSettings(host="::1"), "ok", "[::1]:1883"),
        (RoomSettings(host="0.0.0.0", advertise="push.example.org"), "ok", "push.example.org:1883"),
        (RoomSettings(host="0.0.0.0"), "warn", ""),
        (RoomSettings(host="::"), "warn", ""),
    ],
)
def test_a_room_on_every_address_is_advised_to_say_which_one_devices_are_told(
    room: RoomSettings, status: str, found: str, tmp_path: Path
) -> None:
    finding = by_name(list(examine(Settings(data_dir=tmp_path, room=room))))["advertised address"]
    assert finding.status == status
    assert "0.0.0.0:" not in finding.found
    if status == "ok":
        host = found.removesuffix(":1883")
        assert (finding.found, finding.advice) == (f"mqtt {found}, ws {host}:8083", "")
    else:
        assert "room.advertise" in finding.advice
