"""What a device makes of a reason code: which error it is, and whether coming back can help.

The codes are those of MQTT 5, section 2.4; the link has translated the return codes of 3.1.1 already.
"""

from enum import Enum, auto
from typing import Final

from longline import errors
from longline.mqtt.reasons import ReasonCode


class Verdict(Enum):
    """What to do after an end."""

    RETRY = auto()  # come back, after a wait
    MOVE = auto()  # come back elsewhere, at the time that was asked for
    REFRESH = auto()  # come back with another token, if there can be one
    STOP = auto()  # never come back by itself


_STOPPING: Final[dict[int, type[errors.LonglineError]]] = {
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: errors.NotSupported,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: errors.ValidationFailed,
    ReasonCode.BANNED: errors.Banned,
    ReasonCode.BAD_AUTHENTICATION_METHOD: errors.NotSupported,
    ReasonCode.SESSION_TAKEN_OVER: errors.TakenOver,
}
_MOVING: Final = frozenset([ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED])
_REFRESHING: Final = frozenset([ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED])
_ANSWERS: Final[dict[int, type[errors.LonglineError]]] = {
    ReasonCode.NOT_AUTHORIZED: errors.Forbidden,
    ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR: errors.NotSupported,
    ReasonCode.QUOTA_EXCEEDED: errors.RateLimited,
    ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: errors.NotSupported,
    ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: errors.NotSupported,
}


def reason_name(reason: int) -> str:
    """`0x8E session taken over`."""
    try:
        return f"0x{reason:02X} {ReasonCode(reason).name.lower().replace('_', ' ')}"
    except ValueError:
        return f"0x{reason:02X}"


def judge(reason: int, said: str | None) -> tuple[errors.LonglineError, Verdict]:
    """Why the server let nobody in, or closed the link, by its reason code and its reason string."""
    message = f"the server said {reason_name(reason)}" + (f": {said}" if said else "")
    if reason in _MOVING:
        return errors.Unavailable(message), Verdict.MOVE
    if reason in _REFRESHING:
        return errors.BadToken(message), Verdict.REFRESH
    stopping = _STOPPING.get(reason)
    if stopping is not None:
        return stopping(message), Verdict.STOP
    return errors.Unavailable(message), Verdict.RETRY


def refused(what: str, reason: int, said: str | None = None) -> errors.LonglineError:
    """The error of one publish or subscribe that the server refused; the connection lives on."""
    message = f"{what}: {reason_name(reason)}" + (f": {said}" if said else "")
    return _ANSWERS.get(reason, errors.ServerRefused)(message)
