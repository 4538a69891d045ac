"""Who a CONNECT is from: which app, which device, and whether the token or the certificate says so."""

import asyncio
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote

from longline.errors import AppNotFound, BadToken, LonglineError, NotSupported
from longline.model.apps import App, valid_app_name
from longline.model.devices import valid_device_name
from longline.mqtt.codec import payload_is_as_declared
from longline.mqtt.packets import Connect
from longline.mqtt.properties import AUTHENTICATION_METHOD
from longline.mqtt.reasons import ReasonCode
from longline.room.life.certified import certificate_of
from longline.room.life.tokens import token_device
from longline.saver.app_cache import AppCache

# How the names of devices without credentials begin, and of no others in their app: anybody can be such a
# device, and none of them can be one that was registered.
ANONYMOUS: Final = "anonymous-"
_UNNAMEABLE: Final = re.compile(r"[%/+#\x00-\x1f\x7f-\x9f]")  # `DEVICE_NAME` is without these, but for %


class Authority:
    """One for a room. `anonymous_app` is that of clients that name none, where they are welcome."""

    def __init__(self, apps: AppCache, anonymous_app: str | None) -> None:
        self.anonymous_app = anonymous_app
        self._apps = apps

    async def look_up(self, packets: Iterable[Connect]) -> dict[str | None, App]:
        """The apps that these name and that are known, by user name. They hold until something is awaited.

        Of those that are not known yet is learned, in one read for all of them.
        """
        names = {packet.username for packet in packets}
        known = self._known(names)
        unknown = [name for name in names if name not in known and name and valid_app_name(name)]
        if len(unknown) > 1:
            # What fails here fails again, and is answered, in `find`.
            await asyncio.gather(*map(self._apps.find, unknown), return_exceptions=True)
            known = self._known(names)
        return known

    def _known(self, names: Iterable[str | None]) -> dict[str | None, App]:
        known: dict[str | None, App] = {}
        for name in names:
            app = self._apps.remembered(name) if name else None
            if app is not None:
                known[name] = app
        return known

    async def find(self, packet: Connect, certificate: Callable[[], object] = lambda: None) -> App:
        """The app of a CONNECT, where that is not known by its user name.

        Raises what the client is refused with. `certificate` gives what `ssl` tells of the one that the
        client has shown: who has a token is not asked for it.
        """
        refuse_unsupported(packet)
        name = packet.username
        if not name:
            shown = None if packet.password else certificate_of(certificate())
            name = self.anonymous_app if shown is None else shown.app
        if not name:
            raise BadToken("no app: the user name of CONNECT must be one")
        app = await self._apps.find(name)
        if app is None:
            raise AppNotFound
        return app

    def identify(self, packet: Connect, app: App, certificate: Callable[[], object] = lambda: None) -> str:
        """The device's name, in the app that CONNECT names. Raises what the client is refused with."""
        refuse_unsupported(packet)
        name = packet.username
        device = packet.client_id
        shown = None if packet.password else certificate_of(certificate())
        if not name and shown is None:  # and welcome all the same, for there is an app
            device = anonymous_name(device or uuid.uuid4().hex)
        else:
            if shown is not None and app.client_certificates:
                device = shown.device(app, device)
            else:
                subject = token_device(app, packet.password)
                device = device or subject
                if device != subject:
                    raise BadToken("the token was made for another device than the client identifier")
            if app.app == self.anonymous_app and device.startswith(ANONYMOUS):
                raise BadDevice("such names are those of clients without credentials here")
        if not valid_device_name(device):
            raise BadDevice("the client identifier is not a valid device name")
        return device


def refuse_unsupported(packet: Connect) -> None:
    """Raises what a CONNECT is refused with that asks for what is not offered."""
    will = packet.will
    if will is not None:
        if not payload_is_as_declared(will.payload, will.properties):  # section 3.1.3.2.3
            raise WillNotAsDeclared("the will is not the text that it says it is")
        raise NotSupported("wills are not supported yet")
    if packet.properties is not None and AUTHENTICATION_METHOD in packet.properties:
        raise UnknownMethod("no authentication method but user name and password")


def anonymous_name(client_id: str) -> str:
    """The device that an anonymous client is: its identifier, with what no name may have as URLs write it.

    No two identifiers are one device, but that a client may as well say the prefix itself.
    """
    named = _UNNAMEABLE.sub(lambda found: quote(found[0], safe=""), client_id)
    return named if named.startswith(ANONYMOUS) else ANONYMOUS + named


class WillNotAsDeclared(LonglineError):
    """A will's payload is not what its format indicator says."""

    code = "payload_format_invalid"
    reason = ReasonCode.PAYLOAD_FORMAT_INVALID


class UnknownMethod(NotSupported):
    """Enhanced authentication is not offered."""

    code = "bad_authentication_method"
    reason = ReasonCode.BAD_AUTHENTICATION_METHOD


class BadDevice(LonglineError):
    """The client identifier is not a valid device name."""

    code = "bad_device_name"
    reason = ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
