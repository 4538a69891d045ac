"""Where a message stands, in the words of the API."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from longline.center.requests.times import rfc3339
from longline.center.shapes import MessageId
from longline.delivery.event_views import DATE_TIME, Time
from longline.delivery.plans import CANCELLED, Firing, LaterMessage
from longline.model.ledger import Ledger, State
from longline.saver.port.ledgers import Listed, Status

DeliveryState = Literal["pending", "acked", "expired", "collapsed", "dropped"]

STATES: dict[State, DeliveryState] = {
    State.PENDING: "pending",
    State.ACKED: "acked",
    State.EXPIRED: "expired",
    State.COLLAPSED: "collapsed",
    State.DROPPED: "dropped",
}


class LedgerView(Struct, frozen=True):
    """`targeted = pending + acked + expired + collapsed + all of dropped`, at any moment."""

    targeted: int
    pending: int
    acked: int
    expired: int
    collapsed: int
    dropped: Annotated[dict[str, int], Meta(description="By reason.", examples=[{"device_not_found": 1}])]
    routed: Annotated[int, Meta(description="Handed to the node of a connected device.")]
    sent: Annotated[int, Meta(description="Written to a connection.")]


class FiringView(Struct, frozen=True, omit_defaults=True):
    """One time that a message was sent: as which message, or why it was not."""

    at: Annotated[
        str,
        Meta(
            description="When it was due; RFC 3339.",
            examples=["2026-02-02T08:00:00.000Z"],
            extra_json_schema=DATE_TIME,
        ),
    ]
    message_id: MessageId | UnsetType = UNSET
    error: Annotated[str | UnsetType, Meta(description="A code.", examples=["no_target"])] = UNSET


class MessageStatus(Struct, frozen=True, omit_defaults=True):
    """Where a message stands.

    `scheduled`: its time has not come. `accepted`: stored, nothing sent yet. `delivering`: some of it is sent
    or settled. `done`: nothing is pending. `cancelled`: it was taken back before its time. One that is sent
    in each time zone at its own moment has a message for each, which `firings` tells, and here their sum.
    """

    message_id: MessageId
    status: Literal["scheduled", "accepted", "delivering", "done", "cancelled"]
    created_at: Time
    ledger: LedgerView
    send_at: Annotated[str | UnsetType, Meta(description="As it was asked for, until it is sent.")] = UNSET
    firings: list[FiringView] | UnsetType = UNSET
    error: Annotated[
        str | UnsetType, Meta(description="Why nothing was sent at its time.", examples=["no_target"])
    ] = UNSET
    label: Annotated[str | UnsetType, Meta(description="Its sender's word for it.", examples=["goals"])] = (
        UNSET
    )


class Delivery(Struct, frozen=True):
    """A message and one of its devices; null for what has not happened."""

    device: str
    state: DeliveryState
    reason: Annotated[str | None, Meta(description="Why it was dropped.")]
    why: Annotated[str, Meta(description="What that means, for people.")]
    accepted_at: Time
    sent_at: Time | None
    settled_at: Time | None


def moved(ledger: Ledger) -> bool:
    """Whether anything of it has come to anybody, or to its end."""
    return bool(ledger.sent or ledger.acked or ledger.expired or ledger.collapsed)


def status_view(status: Status) -> MessageStatus:
    """A message that is stored as such."""
    message = status.message
    return listed_view(Listed(message.id, message.created_at, status.label, status.ledger))


def listed_view(listed: Listed) -> MessageStatus:
    """The same of one in a list."""
    return MessageStatus(
        message_id=listed.message_id,
        status=status_of(listed.ledger),
        created_at=rfc3339(listed.created_at),
        ledger=_ledger_view([listed.ledger]),
        label=listed.label or UNSET,
    )


def status_of(ledger: Ledger) -> Literal["accepted", "delivering", "done"]:
    """How far a message is that is stored as such."""
    return "done" if ledger.pending == 0 else "delivering" if moved(ledger) else "accepted"


def later_view(message_id: str, plan: LaterMessage, ledgers: Sequence[Ledger]) -> MessageStatus:
    """A message whose time has not come, or came in each time zone; `ledgers` of those that it became."""
    status: Literal["scheduled", "delivering", "done", "cancelled"]
    if plan.draft is not None:
        status = "delivering" if plan.firings else "scheduled"
    elif plan.error == CANCELLED:
        status = "cancelled"
    else:
        status = "delivering" if any(ledger.pending for ledger in ledgers) else "done"
    return MessageStatus(
        message_id=message_id,
        status=status,
        created_at=rfc3339(plan.created_at),
        ledger=_ledger_view(ledgers),
        send_at=plan.send_at,
        firings=firing_views(plan.firings) if plan.local is not None else UNSET,
        error=plan.error if plan.error is not None and plan.error != CANCELLED else UNSET,
        label=(plan.draft and plan.draft.label) or UNSET,
    )


def firing_views(firings: Iterable[Firing]) -> list[FiringView]:
    """Firings as the API shows them."""
    return [
        FiringView(rfc3339(firing.at), firing.message_id or UNSET, firing.error or UNSET)
        for firing in firings
    ]


def _ledger_view(ledgers: Sequence[Ledger]) -> LedgerView:
    dropped: Counter[str] = Counter()
    for ledger in ledgers:
        dropped.update(ledger.dropped)
    return LedgerView(
        targeted=sum(ledger.targeted for ledger in ledgers),
        pending=sum(ledger.pending for ledger in ledgers),
        acked=sum(ledger.acked for ledger in ledgers),
        expired=sum(ledger.expired for ledger in ledgers),
        collapsed=sum(ledger.collapsed for ledger in ledgers),
        dropped=dict(dropped),
        routed=sum(ledger.routed for ledger in ledgers),
        sent=sum(ledger.sent for ledger in ledgers),
    )
