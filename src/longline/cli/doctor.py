"""`longline doctor`: what on this host limits a node or endangers its data, and what to change; and the same
of a running cluster.

It only looks. The one thing it writes is a small file in the data folder, to time how long a sync takes
there, and it removes that again.
"""

import asyncio
import math
import os
import re
import resource
import shutil
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from longline.cli.access import Access
from longline.cli.doctor_cluster import of_cluster
from longline.cli.doctor_tls import encryption
from longline.cli.finding import Finding
from longline.cli.flags import Config, Data, Overrides, load_settings
from longline.cli.output import print_json, print_table
from longline.cli.usage import Json
from longline.node.addresses import advertised, guessed
from longline.node.files import for_devices, wanted_for
from longline.sdk.center import Center
from longline.settings import Settings
from longline.settings.listeners import ports
from longline.telemetry.build import hot_path_compiled

"""Descriptors a node needs beside its connections: listeners, database, HTTP clients."""

SAFE_SQLITE: Final = (3, 51, 3)
"""Before this version a WAL that is reset at the wrong moment can corrupt the database."""

SYNC_ROUNDS: Final = 20
TOO_FAST: Final = 20e-6
"""Seconds. No disk, not even NVMe with power-loss protection, has taken 4 KiB and answered sooner."""

VOLATILE: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def doctor(
    *settings: Overrides,
    config: Config = None,
    data: Data = None,
    require_compiled: Annotated[
        bool, Parameter(negative=(), help="Fail when the hot path is interpreted.")
    ] = False,
    cluster: Annotated[
        bool, Parameter(negative=(), help="Look at the running cluster of a server instead of at this host.")
    ] = False,
    url: Annotated[
        str | None,
        Parameter(env_var="LONGLINE_URL", help="Its HTTP API, with --cluster; else the server in use."),
    ] = None,
    key: Annotated[
        str | None,
        Parameter(
            env_var=("LONGLINE_KEY", "LONGLINE_ADMIN_KEY"),
            help="A key for it that may operate; else the one kept for it.",
            show_env_var=True,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        Parameter(env_var="LONGLINE_CA", help="PEM file with the authorities that sign its certificates."),
    ] = None,
    server: Annotated[
        str | None, Parameter(env_var="LONGLINE_SERVER", help="A server of `longline servers` instead.")
    ] = None,
    json: Json = False,
) -> int:
    """Look at file and kernel limits, the compiled hot path and the data folder's durability; say what to
    change. With --cluster: at all processes, their store and their load.

    Exit status 1 when something is bad; warnings alone do not fail. Takes settings as flags.
    """
    if cluster:
        findings = _of_cluster(Access(url, key, ca, server, data))
    else:
        findings = list(examine(load_settings(config, data, settings).settings))
    failed = any(finding.status == "bad" for finding in findings)
    failed |= require_compiled and not hot_path_compiled()
    if json:
        print_json({"ok": not failed, "findings": findings})
    else:
        rows = [(each.status, each.check, each.found, each.advice) for each in findings]
        print_table(("state", "check", "found", "advice"), rows)
    return 1 if failed else 0


def _of_cluster(access: Access) -> list[Finding]:
    async def asked(center: Center) -> list[Finding]:
        now, problems, bounds = await asyncio.gather(center.figures(), center.problems(), center.capacity())
        return list(of_cluster(now, problems, bounds))

    return access.ask(asked)


def examine(settings: Settings, proc: Path = Path("/proc")) -> Iterator[Finding]:
    """All findings, in the order in which they are worth reading. `proc` is where the kernel is asked."""
    yield hot_path()
    yield event_loop()
    yield sqlite()
    yield from data_folder(settings.data_dir, proc)
    yield secrets_at_rest(settings)
    yield from advertised_address(settings)
    yield from encryption(settings)
    yield open_files(settings.room.max_connections)
    yield from kernel(settings, proc)


def hot_path() -> Finding:
    """Compiled or interpreted, and if the latter, why."""
    if hot_path_compiled():
        return Finding("hot path", "ok", "compiled")
    lacking = [] if shutil.which(os.environ.get("CC", "gcc")) else ["gcc"]
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        lacking.append("python3-dev (Python.h)")
    advice = "install Longline again without LONGLINE_NO_COMPILE, and not as an editable install"
    if lacking:
        advice = f"install {' and '.join(lacking)}, then install Longline again"
    return Finding("hot path", "warn", "interpreted: everything works, at a fraction of the speed", advice)


def event_loop() -> Finding:
    """Whether uvloop is there."""
    try:
        return Finding("event loop", "ok", f"uvloop {version('uvloop')}")
    except PackageNotFoundError:
        return Finding(
            "event loop", "warn", "asyncio", "install uvloop: the node serves more connections in less memory"
        )


def sqlite() -> Finding:
    """The SQLite that the saver uses, which is not the system's: apsw brings its own."""
    # apsw's version begins with that of the SQLite in it.
    found = version("apsw")
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:3])
    text = ".".join(map(str, numbers))
    if numbers < SAFE_SQLITE:
        return Finding("SQLite", "bad", text, "upgrade apsw: SQLite before 3.51.3 can corrupt a WAL on reset")
    return Finding("SQLite", "ok", f"{text}, write-ahead log, synchronous=FULL")


def data_folder(folder: Path, proc: Path) -> Iterator[Finding]:
    """Whether what is answered 202 will still be there after a power cut."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        advice = f"give this user write access to {existing}"
        yield Finding("data folder", "bad", f"{folder} cannot be written", advice)
        return
    kind = filesystem_of(existing, proc)
    if kind in VOLATILE:
        advice = "choose a data_dir on a disk: a reboot empties this one"
        yield Finding("data folder", "warn", f"{folder} is on {kind}, which is memory", advice)
    else:
        yield Finding("data folder", "ok", f"{folder} on {kind}")
    yield sync_time(existing)


def secrets_at_rest(settings: Settings) -> Finding:
    """Whether who reads the store, or a backup of it, can sign devices' tokens and webhooks."""
    if keys := len(settings.secrets_keys):
        return Finding(
            "secrets at rest", "ok", f"sealed by the first of {keys} keys" if keys > 1 else "sealed"
        )
    return Finding(
        "secrets at rest",
        "warn",
        "apps' device secrets and webhooks' secrets lie in clear in the store and in backups",
        "set secrets_key (`openssl rand -hex 32`), and keep it elsewhere than the backups",
    )


def advertised_address(settings: Settings) -> Iterator[Finding]:
    """What devices are told to connect to, by dispatchers and by rooms that drain."""
    if not ports(settings.room):
        return
    told = ", ".join(f"{name} {address}" for name, address in advertised(settings, ("room",)).items())
    if guessed(settings, ("room",)):
        yield Finding(
            "advertised address",
            "warn",
            f"{told}, which is a guess" if told else "none: this host has no way to others",
            f"set room.advertise to the name or address by which devices reach it: {settings.room.host} is "
            "every address of this host",
        )
    else:
        yield Finding("advertised address", "ok", told)


def filesystem_of(path: Path, proc: Path) -> str:
    """The type of the file system that holds `path`, from the longest mount point above it (proc(5))."""
    best, kind = -1, "an unknown file system"
    try:
        mounts = (proc / "self" / "mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    resolved = path.resolve()
    for line in mounts:
        before, _, after = line.partition(" - ")
        mount = Path(before.split(" ")[4].replace("\\040", " "))
        if resolved.is_relative_to(mount) and len(mount.parts) > best:
            best, kind = len(mount.parts), after.split(" ")[0]
    return kind


def sync_time(folder: Path, clock: Callable[[], float] = time.perf_counter) -> Finding:
    """How long one group commit waits for the disk: the median of writing 4 KiB and syncing it."""
    times: list[float] = []
    page = bytes(4096)
    with tempfile.TemporaryFile(dir=folder, prefix=".longline-doctor-") as file:
        for _ in range(SYNC_ROUNDS):
            began = clock()
            os.write(file.fileno(), page)
            os.fsync(file.fileno())
            times.append(clock() - began)
    median = statistics.median(times)
    found = f"{median * 1000:.2f} ms a sync, so about {1 / max(median, 1e-6):,.0f} group commits a second"
    if median < TOO_FAST:
        advice = "no disk is that fast: a cache may answer for it, and lose its content in a power cut"
        return Finding("sync", "warn", found, advice)
    if median > 0.02:
        return Finding("sync", "warn", found, "every 202 waits for a sync: a faster disk answers sooner")
    return Finding("sync", "ok", found)


def open_files(max_connections: int) -> Finding:
    """Each connection is a file; beyond the limit `accept` fails."""
    soft, hard = (
        math.inf if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = wanted_for(max_connections)
    found = f"{soft:,} (hard limit {hard:,})"
    if soft >= wanted:
        return Finding("open files", "ok", found)
    return Finding(
        "open files",
        "warn",
        f"{found}: {for_devices(int(soft)):,} connections, room.max_connections is {max_connections:,}",
        f"`ulimit -n {wanted}`, or LimitNOFILE={wanted} in the service's unit file",
    )


def kernel(settings: Settings, proc: Path) -> Iterator[Finding]:
    """Limits that the kernel sets for the whole host, compared with what the settings ask for."""
    connections = settings.room.max_connections
    backlog = settings.room.accept_backlog
    page = os.sysconf("SC_PAGE_SIZE")
    # (setting, which of its numbers, wanted, why)
    limits = (
        ("fs.file-max", 0, wanted_for(connections), "files open on the whole host"),
        ("fs.nr_open", 0, wanted_for(connections), "files open in one process"),
        ("net.core.somaxconn", 0, backlog, "connections waiting to be accepted; caps room.accept_backlog"),
        ("net.ipv4.tcp_max_syn_backlog", 0, min(backlog, 4096), "handshakes under way in a reconnect storm"),
        ("net.netfilter.nf_conntrack_max", 0, connections, "connections the firewall can track"),
        ("net.ipv4.tcp_mem", 2, connections, f"pages of {page} bytes for all TCP buffers; one a connection"),
    )
    for name, index, wanted, why in limits:
        numbers = sysctl(proc, name)
        if len(numbers) <= index:
            continue  # this kernel does not have it, such as conntrack where no firewall is loaded
        if numbers[index] >= wanted:
            yield Finding(name, "ok", f"{numbers[index]:,}")
        else:
            assignment = " ".join(map(str, (*numbers[:index], wanted, *numbers[index + 1 :])))
            yield Finding(name, "warn", f"{numbers[index]:,}: {why}", f'`sysctl -w {name}="{assignment}"`')
    ports = sysctl(proc, "net.ipv4.ip_local_port_range")
    if len(ports) == 2:
        count = ports[1] - ports[0] + 1
        few = count < 28_000  # the kernel's own default has 28,232
        yield Finding(
            "net.ipv4.ip_local_port_range",
            "warn" if few else "ok",
            f"{count:,} outgoing connections to one address, as webhooks and load generators make",
            '`sysctl -w net.ipv4.ip_local_port_range="1024 65535"`' if few else "",
        )


def sysctl(proc: Path, name: str) -> list[int]:
    """The numbers of a kernel setting, or nothing where the kernel has none of this name."""
    try:
        text = (proc / "sys" / name.replace(".", "/")).read_text(encoding="ascii")
    except OSError:
        return []
    return [int(number) for number in text.split()]
