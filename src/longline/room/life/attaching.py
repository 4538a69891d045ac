"""`$link/attach` and `$link/detach`: further apps on a connection that is there.

A client says for which app and device, and shows a token. That is looked at as a CONNECT is, by the same
admission: authority, bans, quotas, flapping, takeovers. Whoever is let in has a session like any other, whose
outlet is the connection, and whose topics begin with `@{app}/` (`session/session.py`). It lasts as long as
the connection, or until either side ends it; nothing is kept of it for another connection, and it has no
will: to the device's own session in the store it is what a Clean Start is.

A request is acknowledged when it is taken. What becomes of it is said on `$link/reply`. What is wrong with
app, device or token is one answer, whichever of them it is: nobody learns of an app without a good token.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from longline.errors import BadToken
from longline.flow.bucket import Bucket
from longline.model.apps import valid_app_name
from longline.model.devices import valid_device_name
from longline.model.topics import prefix_of
from longline.mqtt.packets import Connack, Connect, Packet, Publish
from longline.mqtt.properties import CORRELATION_DATA, get_bytes
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.life.entrant import Entrant
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import RESERVED_TOPIC, Refusal
from longline.room.session.attached import ATTACHED, DETACHED, REFUSED, told
from longline.room.session.client import ClientConnection
from longline.room.session.session import Attachment, Gone, Session
from longline.room.session.sessions import Sessions
from longline.room.wire.answers import Answer
from longline.settings import RoomSettings

ATTACH: Final = "attach"
DETACH: Final = "detach"
MAX_CORRELATION: Final = 1024  # bytes of Correlation Data, which go back as they came
NOT_TOGETHER: Final = "app, device and token do not go together"

TOO_LARGE: Final = Refusal(
    ReasonCode.QUOTA_EXCEEDED, "payload_too_large", "a request to attach or detach is smaller than that"
)


class AttachRequest(msgspec.Struct, frozen=True):
    """What `$link/attach` says."""

    app: str
    device: str
    token: str


class DetachRequest(msgspec.Struct, frozen=True):
    """What `$link/detach` says."""

    app: str


_attach = msgspec.json.Decoder(AttachRequest).decode
_detach = msgspec.json.Decoder(DetachRequest).decode


class Attaching:
    """Somebody who is connected, and asks to be let in for another app, too. Fulfils `Entrant`."""

    def __init__(
        self,
        client: ClientConnection,
        request: AttachRequest,
        correlation: bytes | None,
        sessions: Sessions,
        counters: RoomCounters,
    ) -> None:
        self.asked_at = 0.0
        self._client = client
        self._app = request.app
        self._device = request.device
        self._correlation = correlation
        self._sessions = sessions
        self._counters = counters
        self._attachment: Attachment | None = None  # once its session is bound
        self._over = False

    # --- what admission asks ----------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport | None:
        return None if self.ended else self._client.transport

    @property
    def ended(self) -> bool:
        return self._over or self._client.ended or self._client.attachment is None

    @property
    def mqtt5(self) -> bool:
        return self._client.mqtt5

    @property
    def came_by(self) -> str:
        return self._client.came_by

    @property
    def peer(self) -> str | None:
        return self._client.peer

    def certificate(self) -> object:
        return None  # that is of the connection's own device

    def unanswered(self) -> bool:
        return not self.ended

    def says_more(self) -> bool:
        return False

    def give_up(self) -> None:
        self._over = True  # whoever reads from the connection finds out

    # --- what admission says ----------------------------------------------------------------------

    def renew(self, until: int) -> bool:
        other = attached(self._client, self._app)
        if other is None or other.session.device != self._device:
            return False
        self._client.ends_with(other, until)
        self._say(told(ATTACHED, self._app, self._device, request=ATTACH))
        return True

    def enter(self, session: Session) -> None:
        first = self._client.attachment
        if first is None or self.ended:
            self._sessions.end(session)
            return
        prefix = prefix_of(self._app)
        attachment = self._attachment = self._sessions.attach(session, self._client, prefix, first)
        if attachment.sharing is not None:
            attachment.sharing.asked_at = self.asked_at

    def accept(self, connack: Connack, keep_alive: int) -> None:
        attachment = self._attachment
        if attachment is None or attachment.sharing is None:
            return
        attachment.sharing.let_in = True
        self._counters.attached += 1
        self._say(told(ATTACHED, self._app, self._device, request=ATTACH))

    def end_at(self, moment: int) -> None:
        if self._attachment is not None:
            self._client.ends_with(self._attachment, moment)

    def refuse(self, reason: ReasonCode, code: str, message: str) -> None:
        if not self.ended:
            self._client.report(code, message)
        self._refuse(reason, code, message)

    def turn_away(self, reason: ReasonCode, code: str, message: str) -> None:
        self._counters.refused.add(code)
        self._refuse(reason, code, message, retryable=True)

    def close(self, reason: ReasonCode, code: str) -> None:
        self._refuse(reason, code, "")

    def send(self, packet: Packet) -> None:
        """Nothing goes on from an earlier connection here."""

    # --- what becomes of it -----------------------------------------------------------------------

    def parted(self, reason: ReasonCode, code: str) -> None:
        """It is not to be let in any more, because its client says so, or somebody else."""
        attachment = self._attachment
        if attachment is not None and attachment.session.attachment is attachment:
            attachment.session.gone = Gone.LEFT
        self._refuse(reason, code, "")

    def _refuse(self, reason: ReasonCode, code: str, message: str, *, retryable: bool = False) -> None:
        attachment = self._attachment
        if attachment is not None and attachment.session.attachment is attachment:
            self._sessions.detach(attachment)
        if reason == ReasonCode.BAD_USER_NAME_OR_PASSWORD:
            code, message = BadToken.code, NOT_TOGETHER
        self._say(refusal(ATTACH, self._app, self._device, reason, code, message, retryable=retryable))

    def _say(self, payload: bytes) -> None:
        if self.ended:
            return
        self._over = True
        first = self._client.attachment
        if first is not None and first.sharing is not None:
            first.sharing.asking.pop(self._app, None)
        self._client.tell(payload, self._correlation)


class LinkRequests:
    """What both have in common: how requests are taken, and what is refused."""

    def __init__(self, sessions: Sessions, counters: RoomCounters, settings: RoomSettings) -> None:
        self._sessions = sessions
        self._counters = counters
        self._settings = settings

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        attachment = session.attachment
        if attachment is None or attachment.first is not None:
            return RESERVED_TOPIC  # who is attached cannot have others attached
        correlation = get_bytes(packet.properties, CORRELATION_DATA) or b""
        if len(packet.payload) > self._settings.connect_packet_size or len(correlation) > MAX_CORRELATION:
            return TOO_LARGE
        return None

    def full(self) -> bool:
        return False  # what a connection may ask for at once is bounded, and refused beyond that

    def hold_up(self, go_on: Callable[[], None]) -> None:
        go_on()

    def _taken(
        self, publisher: Publisher, packet: Publish, answer: Answer | None, why: str = ""
    ) -> bytes | None:
        """Acknowledges a request, or says why it is none; its Correlation Data."""
        reason = ReasonCode.PAYLOAD_FORMAT_INVALID if why else ReasonCode.SUCCESS
        if why:
            publisher.report("payload_format_invalid", why)
        if answer is not None:
            publisher.settle(answer, reason, why)
        return get_bytes(packet.properties, CORRELATION_DATA)


class AttachRequests(LinkRequests):
    """Fulfils `Handler`, for `$link/attach`. `admit` has a request looked at as a CONNECT.

    `clock` in seconds, rising.
    """

    def __init__(
        self,
        sessions: Sessions,
        counters: RoomCounters,
        settings: RoomSettings,
        *,
        admit: Callable[[Entrant, Connect], None],
        tries: Callable[[str | None], str | None],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(sessions, counters, settings)
        self._admit = admit
        self._tries = tries
        self._clock = clock

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        client = client_of(session)
        if client is None:
            return
        request, why = _read(packet.payload)
        correlation = self._taken(publisher, packet, answer, why)
        if request is None:
            client.tell(
                refusal(ATTACH, "", "", ReasonCode.PAYLOAD_FORMAT_INVALID, "payload_format_invalid", why),
                correlation,
            )
            return
        refused = self._refused(client, session, request)
        if refused is not None:
            reason, code, message = refused
            client.report(code, message)
            later = reason in (ReasonCode.SERVER_BUSY, ReasonCode.SERVER_UNAVAILABLE)
            client.tell(
                refusal(ATTACH, request.app, request.device, reason, code, message, retryable=later),
                correlation,
            )
            return
        attaching = Attaching(client, request, correlation, self._sessions, self._counters)
        sharing = client.shared()
        if sharing is not None:
            sharing.asking[request.app] = attaching.parted
            self._admit(
                attaching,
                Connect(
                    client.version, request.device, username=request.app, password=request.token.encode()
                ),
            )

    def _refused(
        self, client: ClientConnection, own: Session, request: AttachRequest
    ) -> tuple[ReasonCode, str, str] | None:
        """Why a request is not even looked at; None when it is."""
        sharing = client.shared()
        most = self._settings.max_attachments
        if sharing is None or not most:
            return ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, "attachments_off", "this server attaches no apps"
        if self._too_often(client):
            return ReasonCode.SERVER_BUSY, "attach_rate", "more is asked for than is looked at in a second"
        if client.services.redirect is not None:
            return ReasonCode.SERVER_UNAVAILABLE, "unavailable", "this server is being left"
        if request.app in sharing.asking:
            return ReasonCode.SERVER_BUSY, "attach_under_way", "the app is being attached"
        if request.app == own.tenant.name and request.device == own.device:
            return ReasonCode.NOT_AUTHORIZED, "attached_to_itself", "the connection is this device's own"
        other = attached(client, request.app)
        if other is not None:
            if other.session.device == request.device:
                return None
            return ReasonCode.NOT_AUTHORIZED, "app_attached", "another device of the app is attached"
        if len(sharing.others) + len(sharing.asking) >= most:
            return (
                ReasonCode.QUOTA_EXCEEDED,
                "too_many_attachments",
                "as many apps share this connection as may",
            )
        return None

    def _too_often(self, client: ClientConnection) -> bool:
        """Whether this connection, its address, or all of them, ask for more than CONNECTs may."""
        sharing, rate, now = client.shared(), self._settings.attach_rate, self._clock()
        if sharing is None:
            return True
        if rate:
            if sharing.tries is None:
                sharing.tries = Bucket(rate, now)
            if not sharing.tries.take(rate, now):
                return True
        return self._tries(client.peer) is not None


class DetachRequests(LinkRequests):
    """Fulfils `Handler`, for `$link/detach`."""

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        client = client_of(session)
        if client is None:
            return
        app, why = "", ""
        try:
            app = _detach(packet.payload).app
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            why = "the payload is no JSON object with an app"
        correlation = self._taken(publisher, packet, answer, why)
        if why:
            reason = ReasonCode.PAYLOAD_FORMAT_INVALID
            client.tell(refusal(DETACH, "", "", reason, "payload_format_invalid", why), correlation)
            return
        other = attached(client, app)
        first = client.attachment
        asking = None if first is None or first.sharing is None else first.sharing.asking.get(app)
        if asking is not None:
            asking(ReasonCode.NORMAL_DISCONNECTION, "detached")
        if other is not None:
            other.session.gone = Gone.LEFT
            self._sessions.detach(other)
        if asking is None and other is None:
            client.tell(
                refusal(
                    DETACH,
                    app if valid_app_name(app) else "",
                    "",
                    ReasonCode.NOT_AUTHORIZED,
                    "not_attached",
                    "the app is not attached",
                ),
                correlation,
            )
        else:
            device = "" if other is None else other.session.device
            client.tell(told(DETACHED, app, device, request=DETACH), correlation)


def attached(client: ClientConnection, app: str) -> Attachment | None:
    """What is attached to a connection for an app, and was let in."""
    first = client.attachment
    sharing = None if first is None else first.sharing
    if sharing is not None:
        for other in sharing.others:
            if other.sharing is not None and other.sharing.let_in and other.session.tenant.name == app:
                return other
    return None


def client_of(session: Session) -> ClientConnection | None:
    """Whose connection a session has."""
    attachment = session.attachment
    outlet = None if attachment is None else attachment.outlet
    return outlet if isinstance(outlet, ClientConnection) else None


def refusal(
    request: str,
    app: str,
    device: str,
    reason: ReasonCode,
    code: str,
    message: str,
    *,
    retryable: bool = False,
) -> bytes:
    """What `$link/reply` says of a request that is refused."""
    return told(
        REFUSED,
        app,
        device,
        request=request,
        code=code,
        message=message,
        reason=int(reason),
        retryable=retryable,
    )


def _read(payload: bytes) -> tuple[AttachRequest | None, str]:
    """The request, or why it is none; that never repeats what it has."""
    try:
        request = _attach(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None, "the payload is no JSON object with an app, a device and a token"
    if not valid_app_name(request.app) or not valid_device_name(request.device) or not request.token:
        return None, "app or device is no valid name, or the token is empty"
    try:
        f"{request.device}{request.token}".encode()
    except UnicodeEncodeError:
        return None, "device or token is no text"
    return request, ""
