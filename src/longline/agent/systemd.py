"""Units for systemd, written from the settings in force."""

from collections.abc import Sequence
from pathlib import Path

from longline.settings import Settings

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
WorkingDirectory=/var/lib/longline
# Each connection is an open file.
LimitNOFILE={files}
Restart=always
RestartSec=1
# SIGTERM moves the clients elsewhere first.
KillMode=mixed
TimeoutStopSec={stop}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
{ports}
[Install]
WantedBy=multi-user.target
"""


def agent_unit(settings: Settings, executable: Path, config: Path | None) -> str:
    """The unit of a host's agent, which in turn runs all processes of the host."""
    return _unit(settings, "all processes of this host", executable, ["agent"], config, reload=True)


def role_unit(settings: Settings, executable: Path, roles: Sequence[str], config: Path | None) -> str:
    """The unit of one role process, for hosts where systemd is the agent."""
    return _unit(settings, ", ".join(roles), executable, ["run", *roles], config, reload=False)


def _unit(
    settings: Settings,
    what: str,
    executable: Path,
    command: Sequence[str],
    config: Path | None,
    *,
    reload: bool,
) -> str:
    words = [str(executable), *command]
    if config is not None:
        words += ["--config", str(config)]
    node, room = settings.node, settings.room
    low = any(0 < port < 1024 for port in (room.port, room.tls_port, settings.center.port))
    return UNIT.format(
        what=what,
        command=" ".join(words),
        reload="# SIGHUP restarts every process, one after the other.\nExecReload=kill -HUP $MAINPID\n"
        if reload
        else "",
        files=max(65_536, room.max_connections + 65_536),
        stop=int(node.drain_grace + node.shutdown_grace + 30),
        ports="AmbientCapabilities=CAP_NET_BIND_SERVICE\n" if low else "",
    )
