"""Clients' certificates of TLS: whose they are. The room's listener has verified them, with OpenSSL.

The common name is the device, the organisational unit the app. A certificate that names several units is good
for each of these apps, and for that of the user name where the client says one.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from longline.errors import LonglineError
from longline.model.apps import App
from longline.mqtt.reasons import ReasonCode

DEVICE: Final = "commonName"
APP: Final = "organizationalUnitName"


class BadCertificate(LonglineError):
    """The client's certificate is another device's, another app's, or out of date."""

    code = "bad_certificate"
    status = 401
    reason = ReasonCode.BAD_USER_NAME_OR_PASSWORD


class Certificate(Struct, frozen=True):
    """What a client's certificate says: devices, apps, and until when it is good, in seconds of Unix time."""

    devices: tuple[str, ...]
    apps: tuple[str, ...]
    until: float

    @property
    def app(self) -> str | None:
        """The only app that it is for; None where there is no such."""
        return self.apps[0] if len(self.apps) == 1 else None

    def device(self, app: App, client_id: str, clock: Callable[[], float] = time.time) -> str:
        """The device of an app that it is for; `BadCertificate` says what is wrong with it."""
        if self.until <= clock():  # a session that is gone on with was verified when it began
            raise BadCertificate("the certificate has expired")
        if app.app not in self.apps:
            raise BadCertificate("the certificate's organisational unit is not this app")
        if len(self.devices) != 1:
            raise BadCertificate("the certificate's subject has not one common name")
        device = self.devices[0]
        if client_id and client_id != device:
            raise BadCertificate("the certificate's common name is not the client identifier")
        return device


def certificate_of(told: object) -> Certificate | None:
    """What `ssl` tells of a peer's certificate; None where it has shown none."""
    if not isinstance(told, Mapping) or not told:
        return None
    names = [pair for part in told.get("subject", ()) for pair in part]
    return Certificate(
        tuple(value for name, value in names if name == DEVICE),
        tuple(value for name, value in names if name == APP),
        float(ssl.cert_time_to_seconds(told["notAfter"])),
    )
