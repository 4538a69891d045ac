"""Every error that Longline answers with, in one tree.

An error class is the single place that knows how one failure is told to each kind of peer: `code`
(stable, for programs and logs), `status` (HTTP), `reason` (MQTT 5 reason code, sections 2.4 and 3.x
of the specification) and `retryable` (whether the same request may succeed later without change).
"""

from collections.abc import Sequence
from typing import ClassVar


class LonglineError(Exception):
    """Base of all. `details` names the offending fields as (field, message) pairs."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    reason: ClassVar[int] = 0x80  # Unspecified error
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        details: Sequence[tuple[str, str]] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or (self.__doc__ or self.code).splitlines()[0])
        self.details = tuple(details)
        self.retry_after = retry_after

    @property
    def message(self) -> str:
        return str(self.args[0])

    def __str__(self) -> str:
        """The message, and of the details what it does not say itself."""
        unsaid = [(field, text) for field, text in self.details if text not in self.message]
        listed = "; ".join(f"{field}: {text}" if field else text for field, text in unsaid)
        return f"{self.message} ({listed})" if listed else self.message


class SettingsError(LonglineError):
    """The configuration has a mistake; nothing was started."""

    code = "bad_setting"


class DataDirInUse(LonglineError):
    """Another process already serves this data directory."""

    code = "data_dir_in_use"


class DataNotRead(LonglineError):
    """The node would start empty beside data that it does not read."""

    code = "data_not_read"


class BackupRefused(LonglineError):
    """There is nothing to copy, the copy is not whole, or there is no room for it where it is to go."""

    code = "backup_refused"


# --- what the caller got wrong -------------------------------------------------------------------


class BadRequest(LonglineError):
    """The request could not be read: malformed JSON, header or parameter."""

    code = "bad_request"
    status = 400
    reason = 0x81  # Malformed packet


class ValidationFailed(LonglineError):
    """The request was read, but a field's value is not allowed; `details` says which."""

    code = "invalid"
    status = 422
    reason = 0x99  # Payload format invalid


class PayloadEmpty(ValidationFailed):
    """A message needs a payload of at least one byte."""

    code = "payload_empty"


class PayloadTooLarge(LonglineError):
    """The payload is over 256 KiB."""

    code = "payload_too_large"
    status = 413
    reason = 0x95  # Packet too large


class BodyTooLarge(LonglineError):
    """The request's body is over the limit `center.max_body`."""

    code = "body_too_large"
    status = 413
    reason = 0x95


class HeadTooLarge(LonglineError):
    """The request's head has more than 32 KiB or 100 fields."""

    code = "head_too_large"
    status = 431
    reason = 0x95


class IdempotencyMismatch(LonglineError):
    """This Idempotency-Key was used before with another body."""

    code = "idempotency_mismatch"
    status = 422


class IdempotencyInFlight(LonglineError):
    """A request with this Idempotency-Key is still being worked on; ask again shortly."""

    code = "idempotency_in_flight"
    status = 409
    retryable = True


class NotSupported(LonglineError):
    """The request is well-formed and this version does not do it."""

    code = "not_supported"
    status = 422
    reason = 0x83  # Implementation specific error


# --- who the caller is ---------------------------------------------------------------------------


class Unauthorized(LonglineError):
    """No key, or one that is not valid."""

    code = "unauthorized"
    status = 401
    reason = 0x87  # Not authorized


class Forbidden(LonglineError):
    """The key is valid, but does not reach this."""

    code = "forbidden"
    status = 403
    reason = 0x87


class BadToken(LonglineError):
    """The device's token is malformed, forged, expired or made for another device."""

    code = "bad_token"
    status = 401
    reason = 0x86  # Bad user name or password


class Banned(LonglineError):
    """The device is banned for now."""

    code = "banned"
    status = 403
    reason = 0x8A  # Banned


# --- what is not there ---------------------------------------------------------------------------


class NotFound(LonglineError):
    """There is nothing at this address."""

    code = "not_found"
    status = 404


class AppNotFound(NotFound):
    """There is no app with this name."""

    code = "app_not_found"
    reason = 0x86


class DeviceNotFound(NotFound):
    """The app has no device with this name."""

    code = "device_not_found"


class MessageNotFound(NotFound):
    """The app has no message with this id, or its ledger's retention is over."""

    code = "message_not_found"


class NodeNotFound(NotFound):
    """No member of the cluster has this name."""

    code = "node_not_found"


class SettingNotFound(NotFound):
    """There is no setting with this name."""

    code = "setting_not_found"


class NoTarget(NotFound):
    """Nobody in the audience exists."""

    code = "no_target"


class MethodNotAllowed(LonglineError):
    """The address exists, but not for this method."""

    code = "method_not_allowed"
    status = 405


class Conflict(LonglineError):
    """Somebody else has changed this meanwhile; read it again."""

    code = "conflict"
    status = 409
    retryable = True


class AppExists(LonglineError):
    """An app with this name exists already."""

    code = "app_exists"
    status = 409


# --- what the server cannot do now ---------------------------------------------------------------


class RateLimited(LonglineError):
    """Too many requests; come back after the time in Retry-After."""

    code = "rate_limited"
    status = 429
    reason = 0x9F  # Connection rate exceeded
    retryable = True


class Overloaded(LonglineError):
    """The server cannot take this now; it stored nothing of it."""

    code = "overloaded"
    status = 503
    reason = 0x89  # Server busy
    retryable = True


class Unavailable(LonglineError):
    """A store or a part of the server cannot be reached, or is shutting down."""

    code = "unavailable"
    status = 503
    reason = 0x88  # Server unavailable
    retryable = True


class TopicTooCostly(LonglineError):
    """Too many filters of sessions match this topic, or begin as it does: over `sessions.match_limit`."""

    code = "topic_too_costly"
    status = 422
    reason = 0x97  # Quota exceeded


class StoreError(LonglineError):
    """The store refuses this, and would again: what it holds, or its settings, are not right.

    `word`: the first word of its reply, such as `WRONGTYPE`, `ERR`, or one of a script of ours. `text`: the
    rest, for logs alone.
    """

    code = "store_refused"

    def __init__(
        self,
        message: str = "",
        *,
        word: str = "",
        text: str = "",
        details: Sequence[tuple[str, str]] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message or (f"the store refused this ({word})" if word else ""),
            details=details,
            retry_after=retry_after,
        )
        self.word = word
        self.text = text

    def __str__(self) -> str:
        return f"{self.word} {self.text}" if self.word else super().__str__()


class Fenced(LonglineError):
    """This node was declared dead by the others: it must leave, and come back under a new name."""

    code = "fenced"
    status = 503
    reason = 0x88


# --- what a device is told beside -----------------------------------------------------------------


class TakenOver(LonglineError):
    """The same device connected elsewhere. To come back would throw the other one out in turn, for ever."""

    code = "taken_over"
    reason = 0x8E


class ServerRefused(LonglineError):
    """The server answered a publish or a subscribe with a failure."""

    code = "refused"
