"""Who a CONNECT is from: which app, which device, and whether the token says so."""

import asyncio
import re
import uuid
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from longline.errors import AppNotFound, BadToken, LonglineError, NotSupported
from longline.model.apps import App, valid_app_name
from longline.model.devices import valid_device_name
from longline.mqtt.codec import payload_is_as_declared
from longline.mqtt.packets import Connect
from longline.mqtt.properties import AUTHENTICATION_METHOD
from longline.mqtt.reasons import ReasonCode
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

    async def look_up(self, packets: Iterable[Connect]) -> None:
        """Has the apps learned of that are not known yet, in one read for all that these name."""
        names = {packet.username or "" for packet in packets}
        unknown = [name for name in names if valid_app_name(name) and self._apps.remembered(name) is None]
        if len(unknown) > 1:
            # What fails here fails again, and is answered, in `identify`.
            await asyncio.gather(*map(self._apps.find, unknown), return_exceptions=True)

    async def identify(self, packet: Connect) -> tuple[App, str]:
        """The app and the device's name. Raises the LonglineError that the client is refused with."""
        will = packet.will
        if will is not None:
            if not payload_is_as_declared(will.payload, will.properties):  # section 3.1.3.2.3
                raise WillNotAsDeclared("the will is not the text that it says it is")
            raise NotSupported("wills are not supported yet")
        if packet.properties is not None and AUTHENTICATION_METHOD in packet.properties:
            raise UnknownMethod("no authentication method but user name and password")
        name = packet.username
        anonymous = not name and self.anonymous_app is not None
        if anonymous:
            name = self.anonymous_app
        if not name:
            raise BadToken("no app: the user name of CONNECT must be one")
        app = await self._apps.find(name)
        if app is None:
            raise AppNotFound
        device = packet.client_id
        if anonymous:
            device = anonymous_name(device or uuid.uuid4().hex)
        else:
            subject = token_device(app, packet.password)
            device = device or subject
            if device != subject:
                raise BadToken("the token was made for another device than the client identifier")
            if name == self.anonymous_app and device.startswith(ANONYMOUS):
                raise BadDevice("such names are those of clients without credentials here")
        if not valid_device_name(device):
            raise BadDevice("the client identifier is not a valid device name")
        return app, device


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
