"""Who a CONNECT is from: which app, which device, and whether the token or the certificate says so."""

import asyncio
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from longline.delivery.acl import Acls
from longline.errors import AppNotFound, BadToken, LonglineError, NotSupported, Unavailable
from longline.flow.lru import LruCache
from longline.jose.issued import claims_of, header_of, keys_for
from longline.jose.keys import PublicKey, read_usable
from longline.model.access import TokenIssuer
from longline.model.apps import App, valid_app_name
from longline.model.devices import valid_device_name
from longline.model.times import wall_clock
from longline.mqtt.codec import payload_is_as_declared
from longline.mqtt.packets import MQTT_3_1, MQTT_3_1_1, MQTT_5_0, Connect
from longline.mqtt.properties import AUTHENTICATION_METHOD
from longline.mqtt.reasons import ReasonCode
from longline.room.life.callback import ConnectCallback, ConnectDenied, ConnectQuestion, Decision
from longline.room.life.certified import certificate_of
from longline.room.life.key_sets import KeySets
from longline.room.life.outside import Heard, Question
from longline.room.life.tokens import TokenHolder, by_secret, holder_of
from longline.saver.app_cache import AppCache
from longline.settings import RoomSettings

# How the names of devices without credentials begin, and of no others in their app: anybody can be such a
# device, and none of them can be one that was registered.
ANONYMOUS: Final = "anonymous-"
NEWS: Final = 0.25  # s: how old is what is known of an app whose device is refused, at most
GIVEN: Final = 1000  # apps whose own keys are remembered as they are used
PROTOCOLS: Final = {MQTT_3_1: "MQTT 3.1", MQTT_3_1_1: "MQTT 3.1.1", MQTT_5_0: "MQTT 5.0"}
_UNNAMEABLE: Final = re.compile(r"[%/+#\x00-\x1f\x7f-\x9f]")  # `DEVICE_NAME` is without these, but for %


class KnownClient(NamedTuple):
    """Who a CONNECT is from, and until when it may stay, in ms; 0: for ever.

    `anonymous`: it came without credentials.
    """

    device: str
    until: int = 0
    anonymous: bool = False


class Authority:
    """One for a room. `clock` gives ms since the Unix epoch.

    `identify` waits for nobody: where somebody outside has to be asked first, or the store whether the app is
    another by now, its answer is the question.
    """

    def __init__(
        self,
        apps: AppCache,
        settings: RoomSettings,
        key_sets: KeySets,
        callback: ConnectCallback | None,
        acls: Acls,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self.settings = settings
        self._apps = apps
        self._key_sets = key_sets
        self._callback = callback
        self._acls = acls
        self._clock = clock
        self._given: LruCache[str, list[PublicKey]] = LruCache(GIVEN)  # apps' own keys, by their text

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
            name = self.settings.anonymous_app if shown is None else shown.app
        if not name:
            raise BadToken("no app: the user name of CONNECT must be one")
        app = await self._apps.find(name)
        if app is None:
            raise AppNotFound
        return app

    def identify(
        self,
        packet: Connect,
        app: App,
        certificate: Callable[[], object] = lambda: None,
        came: Callable[[], tuple[str | None, str]] = lambda: (None, "tcp"),
        heard: Heard | None = None,
    ) -> KnownClient | Question:
        """Who the CONNECT of a client of this app is from. Raises what it is refused with.

        `came` gives its address and transport. `heard`: what came of the question before.
        """
        refuse_unsupported(packet)
        decision: Decision | None = None if heard is None else heard.decision
        if self._callback is not None and decision is None:
            question = _question(packet, app, came(), certificate)
            decision = self._callback.remembered(question)
            if decision is None:
                callback = self._callback
                return Question(lambda: callback.ask(question))
        if decision is not None and not decision.allowed:
            raise ConnectDenied
        try:
            found = self._identity(packet, app, certificate, decision)
        except BadToken:
            if not self._apps.is_older(app.app, NEWS):
                raise
            # It may be good by what was just changed, of which this room has not heard yet.
            return Question(lambda: self._look_again(app.app, decision))
        if isinstance(found, Question):
            return found
        if not valid_device_name(found.device):
            raise BadDevice("the client identifier is not a valid device name")
        will = packet.will
        if will is not None and app.access.rules:
            acl = self._acls.of(app)
            if acl is not None and not acl.may_publish(found.device, will.topic):
                raise WillDenied
        return found

    def _identity(
        self, packet: Connect, app: App, certificate: Callable[[], object], decision: Decision | None
    ) -> KnownClient | Question:
        name = packet.username
        device = packet.client_id
        shown = None if packet.password else certificate_of(certificate())
        if not name and shown is None:  # and welcome all the same, for there is an app
            return KnownClient(anonymous_name(device or uuid.uuid4().hex), anonymous=True)
        until = 0
        if shown is not None and app.client_certificates:
            device = shown.device(app, device)
            until = int(shown.until * 1000)
        elif decision is not None and not decision.by_token:
            named = decision.device or device or uuid.uuid4().hex
            if device and device != named:
                raise ConnectDenied("the service allows another device than the client identifier")
            device = named
        else:
            holder = self._holder(app, packet.password, decision)
            if isinstance(holder, Question):
                return holder
            device = device or holder.device
            if device != holder.device:
                raise BadToken("the token was made for another device than the client identifier")
            until = holder.until
        if app.app == self.settings.anonymous_app and device.startswith(ANONYMOUS):
            raise BadDevice("such names are those of clients without credentials here")
        return KnownClient(device, until)

    def _holder(self, app: App, token: bytes | None, decision: Decision | None) -> TokenHolder | Question:
        """Whom a token is for, whoever of those that the app knows has signed it."""
        issuer = app.access.tokens
        now = self._clock()
        if issuer is None or not token:
            return by_secret(app, token, now)
        header = header_of(token)
        if header.algorithm.startswith("HS"):
            if not issuer.device_secret:
                raise BadToken("the app takes no tokens by its own secret")
            return by_secret(app, token, now)
        if header.algorithm not in issuer.algorithms:
            raise BadToken("the token is signed with an algorithm that the app does not take")
        known = self._keys(issuer)
        keys = keys_for(header, known or ())
        if not keys:
            url = issuer.jwks_url
            if url and self._key_sets.worth_asking(url):
                return Question(lambda: self._read(url, decision))
            if known is None:
                raise KeysUnavailable
            raise BadToken("no key of the app's identity provider goes with the token")
        return holder_of(claims_of(token, header, keys, issuer), issuer.device_claim, now)

    async def _look_again(self, app: str, decision: Decision | None) -> Decision | None:
        await self._apps.look_again(app)
        return decision

    async def _read(self, url: str, decision: Decision | None) -> Decision | None:
        await self._key_sets.read(url)
        return decision

    def _keys(self, issuer: TokenIssuer) -> Sequence[PublicKey] | None:
        if issuer.jwks_url:
            return self._key_sets.usable(issuer.jwks_url)
        keys = self._given.get(issuer.keys)
        if keys is None:
            keys = read_usable(msgspec.json.decode(issuer.keys, type=list[object]))
            self._given.put(issuer.keys, keys)
        return keys


def _question(
    packet: Connect, app: App, came: tuple[str | None, str], certificate: Callable[[], object]
) -> ConnectQuestion:
    address, transport = came
    text: str | None = None
    raw: bytes | None = None
    if packet.password is not None:
        try:
            text = packet.password.decode()
        except UnicodeDecodeError:
            raw = packet.password
    return ConnectQuestion(
        app=app.app,
        device=packet.client_id,
        username=packet.username,
        address=address,
        transport=transport,
        protocol=PROTOCOLS.get(packet.version, ""),
        password=text,
        password_base64=raw,
        certificate=not packet.password and certificate_of(certificate()) is not None,
    )


def refuse_unsupported(packet: Connect) -> None:
    """Raises what a CONNECT is refused with that asks for what is not offered."""
    will = packet.will
    if will is not None and not payload_is_as_declared(will.payload, will.properties):  # section 3.1.3.2.3
        raise WillNotAsDeclared("the will is not the text that it says it is")
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


class DeviceRegistered(BadDevice):
    """A registered device has this client identifier: who comes without credentials cannot be it."""

    code = "device_registered"


class WillDenied(LonglineError):
    """The app's rules do not allow the device to publish its will."""

    code = "acl_denied"
    reason = ReasonCode.NOT_AUTHORIZED


class KeysUnavailable(Unavailable):
    """The keys of the app's identity provider cannot be read now."""

    code = "keys_unavailable"
