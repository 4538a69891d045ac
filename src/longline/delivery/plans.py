"""What is to be sent later, as the body of a timer has it."""

from typing import Final

import msgspec

from longline.delivery.draft import Draft
from longline.saver.port.schedules import Timer, TimerKind

DEVICE: Final = "device"  # the time zone of each device
FIRINGS: Final = 10  # of a schedule, that are remembered
CANCELLED: Final = "cancelled"
KEPT: Final = 7 * 86_400_000  # ms that what became of a message can be asked for


class Firing(msgspec.Struct, frozen=True):
    """One time that something was sent. `at`: when it was due, in ms; `error`: a code, when nothing was
    stored."""

    at: int
    message_id: str | None = None
    error: str | None = None


class LaterMessage(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    """A message with a `send_at`, which the sender wrote so.

    `draft` is None when there is nothing more to be sent; `error` says why, when something was in the way.
    `local`: its local time, for one that is due in each time zone at its own moment; these are messages of
    their own, and the firings tell which. `at`: the moment for which there is next something to do, `after`
    the one up to which it was done; both in ms.
    """

    app: str
    draft: Draft | None
    send_at: str
    created_at: int
    at: int
    local: str | None = None
    after: int = 0
    firings: tuple[Firing, ...] = ()
    error: str | None = None


class Schedule(msgspec.Struct, frozen=True, kw_only=True, tag="schedule"):
    """A message that is sent again and again. `asked`: the message as JSON, as it was asked for.

    `timezone`: a name of IANA's, or `device`. `at` and `after` as above; `at` is 0 for never. `firings`: the
    latest.
    """

    app: str
    draft: Draft
    asked: bytes
    cron: str
    timezone: str
    created_at: int
    at: int
    after: int
    paused: bool = False
    firings: tuple[Firing, ...] = ()


Plan = LaterMessage | Schedule

_encode = msgspec.msgpack.Encoder().encode
_decode: msgspec.msgpack.Decoder[Plan] = msgspec.msgpack.Decoder(Plan)


def planned(timer: Timer) -> Plan:
    """Reads a timer's body."""
    return _decode.decode(timer.body)


def new_timer(id: str, app: int, plan: Plan) -> Timer:
    """A timer that is due at a plan's next moment."""
    kind = TimerKind.SCHEDULE if isinstance(plan, Schedule) else TimerKind.MESSAGE
    return Timer(id=id, app=app, kind=kind, due=plan.at, body=_encode(plan))


def changed(timer: Timer, plan: Plan) -> Timer:
    """The next version of a timer."""
    return msgspec.structs.replace(timer, version=timer.version + 1, due=plan.at, body=_encode(plan))


def put_off(timer: Timer, due: int) -> Timer:
    """The next version of a timer, which does the same as this one at another time."""
    return msgspec.structs.replace(timer, version=timer.version + 1, due=due)


def closed(timer: Timer, plan: LaterMessage, error: str | None, now: int) -> Timer:
    """The next version of the timer of a message that is sent no more: it is forgotten after a while."""
    over = msgspec.structs.replace(plan, draft=None, error=error, at=now + KEPT)
    return msgspec.structs.replace(changed(timer, over), open=False)
