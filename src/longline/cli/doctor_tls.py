"""What the doctor says of TLS: the certificates, their names and their time, and what goes in clear."""

import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from longline.cli.finding import Finding
from longline.errors import SettingsError
from longline.node.addresses import reachable
from longline.settings import Settings
from longline.settings.listeners import CertificateFiles, certificates
from longline.tls.acceptance import rejection
from longline.tls.certificates import SOON, examined
from longline.tls.openssl import openssl

DAY = 86_400


def encryption(settings: Settings, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """All findings; the certificates first."""
    served = certificates(settings)
    for files in served:
        yield from certificate(files, clock)
    yield from in_clear(settings)
    if served and openssl() is None:
        yield Finding(
            "session tickets",
            "warn",
            "of one process: this Python hides its OpenSSL",
            "who comes back to another process goes through a whole handshake; use another build of Python",
        )


def certificate(files: CertificateFiles, clock: Callable[[], float]) -> Iterator[Finding]:
    """One certificate: whether it can be used, until when, for the name by which it is reached, and who can
    read its key."""
    check = f"{files.setting}_cert"
    try:
        left = (examined(files.setting, files.chain, files.key, files.client_ca) - clock()) / DAY
        told = f"{files.chain}, good for {left:,.0f} more days"
        if left <= 0:
            yield Finding(check, "bad", f"{files.chain} is out of date", "renew it: no client takes it")
        elif left * DAY <= SOON:
            yield Finding(check, "warn", told, "renew it; it is loaded when its file changes")
        else:
            yield Finding(check, "ok", told)
        if left > 0 and files.host is not None and named(files.host):
            problem = rejection(files.setting, files.chain, files.key, files.host)
            if problem is not None:
                advice = f"have {files.host} among the certificate's names (subjectAltName)"
                yield Finding(check, "warn", f"who connects to {files.host} refuses it: {problem}", advice)
    except SettingsError as error:
        for setting, problem in error.details:
            yield Finding(setting, "bad", problem, "see docs/operations.md, Certificates")
        return
    mode = files.key.stat().st_mode
    if mode & 0o077:
        yield Finding(
            f"{files.setting}_key",
            "warn",
            f"{files.key} can be read by others than its owner",
            f"`chmod 600 {files.key}`",
        )


def in_clear(settings: Settings) -> Iterator[Finding]:
    """Listeners that others than this host reach, and that speak in clear."""
    room, center = settings.room, settings.center
    for name, host, port, advice in (
        ("room.port", room.host, room.port, "set it to 0 and use room.tls_port"),
        ("center.port", center.host, center.port, "set center.tls_cert and center.tls_key"),
    ):
        secured = name == "center.port" and center.tls_cert is not None
        if port and not secured and not within(host):
            yield Finding(
                name,
                "warn",
                f"{host}:{port} speaks in clear: tokens and keys can be read on their way",
                f"{advice}, or have a proxy in front that speaks TLS",
            )


def within(host: str) -> bool:
    """Whether only this host reaches a listener there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def named(host: str) -> bool:
    """Whether somebody outside connects by this name."""
    return not within(host) and reachable(host) == host
