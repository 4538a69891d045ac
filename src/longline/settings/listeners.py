"""Which ports the settings of a room ask for, and what is spoken at each."""

from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from longline.settings.sections.room import RoomSettings
from longline.settings.tree import Settings

Transport = Literal["tcp", "tls", "ws", "wss"]

_DEFAULTS: Final = RoomSettings()
UNASKED: Final = {("ws", _DEFAULTS.ws_port), ("wss", _DEFAULTS.wss_port)}


class Port(Struct, frozen=True):
    """A port that is to be open: its transport, the setting that it comes from, its number."""

    transport: Transport
    setting: str
    number: int

    @property
    def unasked(self) -> bool:
        """Whether it is open because nobody has said otherwise: where it is taken, a node does without it."""
        return (self.transport, self.number) in UNASKED


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
    wanted = [Port("tcp", "room.port", room.port), Port("ws", "room.ws_port", room.ws_port)]
    if room.tls_cert is not None and room.tls_key is not None:
        wanted += [
            Port("tls", "room.tls_port", room.tls_port),
            Port("wss", "room.wss_port", room.wss_port),
        ]
    return [port for port in wanted if port.number]
