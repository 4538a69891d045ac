"""Which ports the settings of a room ask for, and what is spoken at each."""

from pathlib import Path
from typing import Literal

from msgspec import Struct

from longline.settings.sections.room import RoomSettings
from longline.settings.tree import Settings

Transport = Literal["tcp", "tls", "ws", "wss"]


class Port(Struct, frozen=True):
    """A port that is to be open: its transport, the setting that it comes from, its number."""

    transport: Transport
    setting: str
    number: int


class CertificateFiles(Struct, frozen=True):
    """A certificate that the settings ask for: what the names of its settings begin with, its files, and
    the name by which clients reach it, where one is set."""

    setting: str
    chain: Path
    key: Path
    client_ca: Path | None
    host: str | None


def certificates(settings: Settings) -> list[CertificateFiles]:
    """Every certificate that a node with these settings may use."""
    room, center = settings.room, settings.center
    found = []
    if room.tls_cert is not None and room.tls_key is not None:
        host = room.advertise or room.host
        found.append(CertificateFiles("room.tls", room.tls_cert, room.tls_key, room.tls_client_ca, host))
    if center.tls_cert is not None and center.tls_key is not None:
        found.append(CertificateFiles("center.tls", center.tls_cert, center.tls_key, None, None))
    return found


def ports(room: RoomSettings) -> list[Port]:
    """The ports that a room with these settings opens; those with TLS only where there is a certificate."""
    wanted = [Port("tcp", "room.port", room.port)]
    if room.tls_cert is not None and room.tls_key is not None:
        wanted.append(Port("tls", "room.tls_port", room.tls_port))
    return [port for port in wanted if port.number]
