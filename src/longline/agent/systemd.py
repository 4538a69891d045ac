"""Units for systemd, written from the settings in force."""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from longline.settings import Settings

STATE = Path("/var/lib/longline")
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
SPARE_FILES = 65_536  # beside a connection's: stores, HTTP, logs

UNIT = """\
[Unit]
Description=Longline: {what}
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={command}
{reload}User=longline
Group=longline
StateDirectory=longline
WorkingDirectory={state}
# Each connection is an open file.
LimitNOFILE={files}
Restart=always
RestartSec=1
# SIGTERM moves the clients elsewhere first.
KillMode=mixed
TimeoutStopSec={stop}
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet={capabilities}
ProtectSystem=strict
ProtectHome={homes}
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
{more}
[Install]
WantedBy=multi-user.target
"""

RELOAD = "# SIGHUP restarts every process, one after the other.\nExecReload=/bin/kill -HUP $MAINPID\n"

Flags = Mapping[str, str]


def agent_unit(settings: Settings, config: Path | None, flags: Flags) -> str:
    """The unit of a host's agent, which in turn runs all processes of the host.

    `flags`: settings by dotted name that are to be on its command line, none of them secret.
    """
    return _unit(settings, "all processes of this host", ["agent"], config, flags, RELOAD)


def serve_unit(settings: Settings, workers: int | None, config: Path | None, flags: Flags) -> str:
    """The unit of a node with every role on its own storage, with workers or without."""
    if workers is None:
        return _unit(settings, "a node", ["serve", "--quiet"], config, flags, "")
    command = ["serve", "--quiet", "--workers", str(workers)]
    return _unit(settings, "a node with workers", command, config, flags, RELOAD)


def role_unit(settings: Settings, roles: Sequence[str], config: Path | None, flags: Flags) -> str:
    """The unit of one role process, for hosts where systemd is the agent."""
    return _unit(settings, ", ".join(roles), ["run", *roles], config, flags, "")


def _unit(
    settings: Settings, what: str, command: Sequence[str], config: Path | None, flags: Flags, reload: str
) -> str:
    words = [*program(), *command]
    paths = [Path(words[0])]
    if config is not None:
        paths.append(config.absolute())
        words += ["--config", str(config.absolute())]
    data = settings.data_dir
    for name, value in flags.items():
        if name == "data_dir":
            data = Path(value).absolute()
            value = str(data)
        words += [f"--{name}", value]
    node, room = settings.node, settings.room
    more = capabilities = ""
    if any(0 < port < 1024 for port in (room.port, settings.center.port)):
        capabilities = "CAP_NET_BIND_SERVICE"
        more += f"AmbientCapabilities={capabilities}\n"
    if data.is_absolute() and not data.is_relative_to(STATE):
        paths.append(data)
        more += f"ReadWritePaths={quoted(str(data))}\n"
    at_home = any(path.is_relative_to(home) for path in paths for home in HOMES)
    return UNIT.format(
        what=what,
        command=" ".join(map(quoted, words)),
        reload=reload,
        state=STATE,
        files=max(SPARE_FILES, room.max_connections + SPARE_FILES),
        stop=int(node.drain_grace + node.shutdown_grace + 30),
        capabilities=capabilities,
        homes="read-only" if at_home else "yes",
        more=more,
    )


def quoted(word: str) -> str:
    """A word of a command line as systemd reads it (systemd.service(5), systemd.unit(5))."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[^\s\"'\\;]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def program() -> list[str]:
    """What runs the `longline` command: itself, else the interpreter with its module."""
    beside = Path(sys.executable).parent
    found = shutil.which("longline") or shutil.which("longline", path=str(beside))
    return [found] if found else [sys.executable, "-m", "longline"]
