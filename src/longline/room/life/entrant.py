"""Who asks to be let in, as admission sees them."""

import asyncio
from typing import Protocol

from longline.mqtt.packets import Connack, Packet
from longline.mqtt.reasons import ReasonCode
from longline.room.session.session import Session


class Entrant(Protocol):
    """A client that has sent CONNECT (`ClientConnection`), or one that asks for another app (`Attaching`).

    Once it was answered, or has gone, no call does anything.
    """

    asked_at: float  # when it asked, in seconds, rising

    @property
    def transport(self) -> asyncio.Transport | None:
        """What it came by; None when it is gone, or does not want to come in any more."""

    @property
    def ended(self) -> bool:
        """Whether its connection is over, or it does not want to come in any more."""

    @property
    def mqtt5(self) -> bool:
        """The version of its connection."""

    @property
    def came_by(self) -> str:
        """Its transport: `tcp`, `tls`, `ws` or `wss`."""

    @property
    def peer(self) -> str | None:
        """Its address."""

    def certificate(self) -> object:
        """What `ssl` tells of the certificate that it has shown."""

    def unanswered(self) -> bool:
        """Whether it has no answer yet."""

    def says_more(self) -> bool:
        """Whether it has said more behind what it asked, where it has hung up."""

    def give_up(self) -> None:
        """It has hung up."""

    def renew(self, until: int) -> bool:
        """Whether it is in already, and only stays longer now: until a moment, in ms, or for ever, with 0."""

    def enter(self, session: Session) -> None:
        """Its session is bound and in the index: it is given its connection. One that is gone ends it."""

    def accept(self, connack: Connack, keep_alive: int) -> None:
        """It is let in: tells it so. `keep_alive` in seconds, as granted."""

    def end_at(self, moment: int) -> None:
        """It is to go at a moment, in ms of Unix time."""

    def refuse(self, reason: ReasonCode, code: str, message: str) -> None:
        """It is not let in, for what it asked."""

    def turn_away(self, reason: ReasonCode, code: str, message: str) -> None:
        """It is not let in, for it comes at a bad time."""

    def close(self, reason: ReasonCode, code: str) -> None:
        """It is not let in, for the device is here by a later CONNECT or the like."""

    def send(self, packet: Packet) -> None:
        """Something that follows on what it had going on before."""
