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


class LayoutRefused(LonglineError):
    """The data were written by a version that lays them out in another way. Nothing was changed; run that
    version, or begin with an empty store."""

    code = "layout_refused"


class SecretsUnreadable(LonglineError):
    """What is stored was sealed by a key that `secrets_key` has not, or was changed in the store."""

    code = "secrets_unreadable"


class BackupRefused(LonglineError):
    """There is nothing to copy, the copy is not whole, or there is no room for it where it is to go."""

    code = "backup_refused"


class AuditRefused(LonglineError):
    """It is not clear whose data are to be looked at, or they cannot be read as things stand."""

    code = "audit_refused"


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


class InvalidCron(ValidationFailed):
    """This is no cron expression, or one of a time that never comes."""

    code = "invalid_cron"


class InvalidTimezone(ValidationFailed):
    """There is no time zone with this name."""

    code = "invalid_timezone"


class InvalidSendAt(ValidationFailed):
    """This is no date and time of RFC 3339, or one that is too far away."""

    code = "invalid_send_at"


class AudienceTooComplex(ValidationFailed):
    """The audience asks for too much, or is nested too deeply; `details` says what the bound is."""

    code = "audience_too_complex"


class AudienceTooLarge(ValidationFailed):
    """The aliases are those of too many devices: a tag reaches any number."""

    code = "audience_too_large"


class ShadowTooLarge(ValidationFailed):
    """The shadow would be larger than `shadows.max_bytes`; `details` says what the bound is."""

    code = "shadow_too_large"
    reason = 0x97  # Quota exceeded


class GroupTooLarge(ValidationFailed):
    """The group would have more members than `groups.max_members`; `details` says what the bound is."""

    code = "group_too_large"


class TooManyGroups(ValidationFailed):
    """A device would be in more groups than `groups.max_device_groups`; `details` says which device."""

    code = "too_many_groups"


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


class ReplyInvalid(LonglineError):
    """Not a `reply_to` that an upstream message of this app had."""

    code = "reply_invalid"
    status = 422


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
    scope: ClassVar[str] = ""  # that the key would need


class SendScopeMissing(Forbidden):
    """The key does not have the scope `send`."""

    code = "missing_scope_send"
    scope = "send"


class ReadScopeMissing(Forbidden):
    """The key does not have the scope `read`."""

    code = "missing_scope_read"
    scope = "read"


class ManageScopeMissing(Forbidden):
    """The key does not have the scope `manage`."""

    code = "missing_scope_manage"
    scope = "manage"


class OperateScopeMissing(Forbidden):
    """The key does not have the scope `operate`, which only keys that reach all apps can have."""

    code = "missing_scope_operate"
    scope = "operate"


class WrongOrigin(Forbidden):
    """A session of the console counts only for what its own page asks, at the address it came from."""

    code = "wrong_origin"


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
    """There is nothing at this address; `/docs` shows what there is."""

    code = "not_found"
    status = 404


class AppNotFound(NotFound):
    """There is no app with this name."""

    code = "app_not_found"
    reason = 0x86


class TokensNotFound(NotFound):
    """The app takes no tokens of an identity provider."""

    code = "tokens_not_found"


class DeviceNotFound(NotFound):
    """The app has no device with this name."""

    code = "device_not_found"


class MessageNotFound(NotFound):
    """The app has no message with this id, or its ledger's retention is over."""

    code = "message_not_found"


class DeliveryNotFound(NotFound):
    """The message was never for this device."""

    code = "delivery_not_found"


class KeyNotFound(NotFound):
    """There is no named key with this id here."""

    code = "key_not_found"


class ScheduleNotFound(NotFound):
    """The app has no schedule with this id."""

    code = "schedule_not_found"


class WebhookNotFound(NotFound):
    """The app has no webhook."""

    code = "webhook_not_found"


class GroupNotFound(NotFound):
    """The app has no group with this name; for a device: or it is not a member of it."""

    code = "group_not_found"
    reason = 0x87  # Not authorized


class NodeNotFound(NotFound):
    """No member of the cluster has this name."""

    code = "node_not_found"


class AgentNotFound(NotFound):
    """No agent of a host has this name."""

    code = "agent_not_found"


class ProfileNotFound(NotFound):
    """No profile with this id is kept: it was deleted, or made room for later ones."""

    code = "profile_not_found"


class SettingNotFound(NotFound):
    """There is no setting with this name."""

    code = "setting_not_found"


class NoTarget(NotFound):
    """Nobody in the audience exists: a device does from its first connection on, or from a PUT."""

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


class DeviceOffline(LonglineError):
    """The device is not connected, and nothing is kept for it."""

    code = "offline"
    status = 409
    retryable = True


class ProfileUnderWay(LonglineError):
    """Another profile is being taken there: of a process one at a time, of heaps one in the whole cluster."""

    code = "profile_under_way"
    status = 409
    retryable = True


class ProfilesDiffer(LonglineError):
    """Profiles of these kinds cannot be compared with each other."""

    code = "profiles_differ"
    status = 422


class ProfileUnreadable(LonglineError):
    """The profile was kept by a version that writes them in another way."""

    code = "profile_unreadable"
    status = 410


class NodeSilent(LonglineError):
    """The node has not taken the profile in time: its event loop stands still, or it is away."""

    code = "node_silent"
    status = 504


class ProfileFailed(LonglineError):
    """The node could not take the profile; its log says why."""

    code = "profile_failed"
    status = 503


class AgentAway(LonglineError):
    """The agent is not there: it was ended or killed, its host is down, or it is cut off from the cluster."""

    code = "agent_away"
    status = 409
    retryable = True


class AgentSilent(LonglineError):
    """The agent has not taken the order in time, and will not carry it out."""

    code = "agent_silent"
    status = 504


class RestartUnderWay(LonglineError):
    """The agent restarts its processes already: one rolling restart of a host at a time."""

    code = "restart_under_way"
    status = 409
    retryable = True


class NothingToCancel(LonglineError):
    """No rolling restart is under way there, or its old processes end already."""

    code = "nothing_to_cancel"
    status = 409


class NoAnswer(LonglineError):
    """The device has not answered in time; it may have carried the command out all the same."""

    code = "no_answer"
    status = 504


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


class MessageRateExceeded(RateLimited):
    """The app sends more messages a second than it may; nothing of the request was taken in.

    `rate` is how many it may, `left` how many it might at this moment; in `full` seconds it may send `rate`
    at once.
    """

    code = "message_rate_exceeded"
    reason = 0x97  # Quota exceeded

    def __init__(
        self,
        message: str = "",
        *,
        details: Sequence[tuple[str, str]] = (),
        retry_after: float | None = None,
        rate: int = 0,
        left: int = 0,
        full: float = 0.0,
    ) -> None:
        super().__init__(message, details=details, retry_after=retry_after)
        self.rate = rate
        self.left = left
        self.full = full


class QuotaExceeded(LonglineError):
    """The app has as much of this as it may; some of it must go first."""

    code = "quota_exceeded"
    status = 429
    reason = 0x97  # Quota exceeded


class TooManyDevices(QuotaExceeded):
    """The app has as many registered devices as it may."""

    code = "too_many_devices"


class TooManyRequests(RateLimited):
    """The app has as many requests under way as it may; come back when some are answered."""

    code = "too_many_requests"


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


class BadSignature(LonglineError):
    """A call to a webhook's target was not signed with its secret, or not lately: whoever made it is not the
    server. Answer it with 401.
    """

    code = "bad_signature"


class OutboxFull(LonglineError):
    """A device keeps as many unsent messages as it may. It takes others when the server has taken some."""

    code = "outbox_full"
    retryable = True


class ServerRefused(LonglineError):
    """The server answered a publish or a subscribe with a failure."""

    code = "refused"
