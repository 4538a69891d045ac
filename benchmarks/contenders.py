"""The servers that `compare.py` sets beside each other, each on free loopback ports, pinned to a core.

Longline is one node with every role and durable storage in a temporary folder. mosquitto has nothing in its
way: no persistence, no limits, no delay for small packets; where its clients have to show who they are, a
password file. The sink (`sink.c`) is the least that a broker can do. Where a server speaks TLS, its
certificate is made for it, of the same kind for all.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

ADMIN_KEY: Final = "benchmark-admin-key"
APP: Final = "bench"
START_SECONDS: Final = 20.0

Kind = Literal["rsa", "ecdsa"]
"""Of a certificate's key: RSA of 2,048 bits, or ECDSA on P-256."""

NEW_KEY: Final[dict[Kind, list[str]]] = {
    "rsa": ["-newkey", "rsa:2048"],
    "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
}

MOSQUITTO_CONF: Final = """\
persistence false
log_type none
# In mosquitto's favour: no delay for small packets, and no limit that would make it drop.
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
listener {port} 127.0.0.1
"""

USER: Final = "bench"
PASSWORD: Final = "benchmark-password"


@dataclass
class Server:
    """A running server, and how the load generator reaches it."""

    pid: int
    port: int
    tls_port: int = 0
    flags: list[str] = field(default_factory=list)
    """Who the clients are."""
    api_flags: list[str] = field(default_factory=list)
    """Where messages are pushed through."""


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def program(name: str, package: str) -> str:
    """The path of a program; ends the run where it is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        sys.exit(f"{name} is not installed (Debian package {package})")
    return found


@contextlib.contextmanager
def process(command: list[str], cpu: int, port: int, log: Path, **environment: str) -> Iterator[int]:
    """Runs a server pinned to a core, from when `port` answers; gives its process id."""
    with log.open("wb") as output:
        # taskset becomes the server: the process id stays.
        child = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                break
            if child.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{command} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield child.pid
    finally:
        child.terminate()
        child.wait(timeout=30)


@contextlib.contextmanager
def a_folder() -> Iterator[Path]:
    """A temporary one, which everybody may read: mosquitto, started by root, becomes a user of its own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def certificate(folder: Path, kind: Kind) -> tuple[Path, Path]:
    """A new certificate and its key, in files that everybody may read."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *(program("openssl", "openssl"), "req", "-x509", *NEW_KEY[kind], "-noenc", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-out", str(cert), "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o644)
    return cert, key


@contextlib.contextmanager
def mosquitto(cpu: int, kind: Kind | None = None, *, passwords: bool = False) -> Iterator[Server]:
    """The peer, with a listener for TLS where a `kind` of certificate is given."""
    port = free_port()
    with a_folder() as folder:
        conf = MOSQUITTO_CONF.format(port=port)
        server = Server(0, port)
        if kind is not None:
            server.tls_port = free_port()
            cert, key = certificate(folder, kind)
            conf += f"listener {server.tls_port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\n"
        if passwords:
            file = folder / "passwords"
            made = [program("mosquitto_passwd", "mosquitto"), "-b", "-c", str(file), USER, PASSWORD]
            subprocess.run(made, check=True, capture_output=True)
            file.chmod(0o644)
            conf += f"allow_anonymous false\npassword_file {file}\n"
            server.flags = ["--username", USER, "--password", PASSWORD]
        else:
            conf += "allow_anonymous true\n"
        path = folder / "mosquitto.conf"
        path.write_text(conf)
        command = [program("mosquitto", "mosquitto"), "-c", str(path)]
        with process(command, cpu, server.tls_port or port, folder / "log") as server.pid:
            yield server


@contextlib.contextmanager
def longline(cpu: int, kind: Kind | None = None) -> Iterator[Server]:
    """A node, with an app that has `pubsub` on; with TLS where a `kind` of certificate is given."""
    room, center = free_port(), free_port()
    with a_folder() as folder:
        server = Server(0, room)
        tls = "tls_port = 0\n"
        if kind is not None:
            server.tls_port = free_port()
            cert, key = certificate(folder, kind)
            tls = f'tls_port = {server.tls_port}\ntls_cert = "{cert}"\ntls_key = "{key}"\n'
        config = folder / "longline.toml"
        config.write_text(
            f'data_dir = "{folder}/data"\n'
            f"[room]\nport = {room}\nws_port = 0\nwss_port = 0\n{tls}"
            f"[center]\nport = {center}\n"
        )
        command = [sys.executable, "-m", "longline", "serve", "--config", str(config)]
        with process(command, cpu, center, folder / "log", LONGLINE_ADMIN_KEY=ADMIN_KEY) as server.pid:
            url = f"http://127.0.0.1:{center}"
            app = create_app(url)
            server.flags = ["--app", APP, "--secret", app["device_secret"]]
            server.api_flags = ["--url", url, "--key", app["server_key"]]
            yield server


@contextlib.contextmanager
def sink(cpu: int) -> Iterator[Server]:
    """The yardstick, compiled here; a system call a delivery."""
    port = free_port()
    with a_folder() as folder:
        made = folder / "sink"
        source = Path(__file__).with_name("sink.c")
        subprocess.run([program("gcc", "gcc"), "-O2", "-o", str(made), str(source)], check=True)
        with process([str(made), str(port)], cpu, port, folder / "log") as pid:
            yield Server(pid, port)


def create_app(url: str) -> dict[str, str]:
    """The keys of a new app."""
    request = urllib.request.Request(
        f"{url}/v1/apps",
        data=json.dumps({"app": APP, "pubsub": True}).encode(),
        headers={"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, str] = json.load(response)
        return answer
