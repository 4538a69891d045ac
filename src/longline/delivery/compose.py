"""From a draft to a message: its id, its times, and everything that may be wrong with it."""

from collections.abc import Mapping, Sequence
from typing import Final

from longline.delivery.checking import AudienceBounds, checked, settled
from longline.delivery.draft import Draft
from longline.delivery.ids import MessageIds
from longline.errors import LonglineError, PayloadEmpty, PayloadTooLarge, ReplyInvalid, ValidationFailed
from longline.model.apps import App
from longline.model.audience import Devices, InGroup
from longline.model.groups import check_group_name
from longline.model.messages import (
    MAX_COLLAPSE_KEY,
    MAX_LABEL,
    MAX_PAYLOAD,
    MAX_SPREAD,
    MAX_TTL,
    PRIORITIES,
    Envelope,
    Message,
    Said,
)

_BOUNDS: Final = AudienceBounds()


class Composer:
    """Makes messages.

    `default_ttl` in seconds; `online_grace`: seconds that a message for who is connected lasts; `bounds` of
    audiences.
    """

    def __init__(self, *, default_ttl: int, online_grace: float, bounds: AudienceBounds = _BOUNDS) -> None:
        self._default_ttl = default_ttl
        self._online_grace = int(online_grace * 1000)
        self._bounds = bounds
        self._ids = MessageIds()

    def compose_all(
        self,
        app: App,
        drafts: Sequence[Draft | LonglineError],
        now: int,
        found: Mapping[int, Devices | LonglineError],
    ) -> tuple[list[Envelope], dict[int, LonglineError]]:
        """What is in order, and what is wrong, by place; `found`: who the aliases of drafts are."""
        envelopes: list[Envelope] = []
        wrong: dict[int, LonglineError] = {}
        for place, draft in enumerate(drafts):
            if isinstance(draft, LonglineError):
                wrong[place] = draft
                continue
            devices = found.get(place) if found else None
            if isinstance(devices, LonglineError):
                wrong[place] = devices
                continue
            try:
                envelopes.append(self.compose(app, draft, now, devices))
            except LonglineError as error:
                wrong[place] = error
        return envelopes, wrong

    def compose(self, app: App, draft: Draft, now: int, called: Devices | None = None) -> Envelope:
        """The message, accepted at `now` (ms); `called`: who the aliases are that it is for.

        Raises what is wrong with the draft, naming fields as the API does.
        """
        _check_options(draft)
        if not draft.payload:
            raise PayloadEmpty
        if len(draft.payload) > MAX_PAYLOAD:
            raise PayloadTooLarge(
                f"the payload has {len(draft.payload)} bytes, over the limit of {MAX_PAYLOAD}"
            )
        ttl = self._default_ttl if draft.ttl is None else draft.ttl
        online_only = draft.online_only or ttl == 0
        if not online_only and draft.spread_over > ttl:
            raise ValidationFailed(
                "the message is over before it is spread",
                details=[("options.spread_over", "at most the ttl")],
            )
        reply = draft.reply
        if reply is not None and reply.app != app.number:
            raise ReplyInvalid
        audience = settled(checked(draft.audience, self._bounds), called)
        group = audience.group if isinstance(audience, InGroup) else None
        if group is not None:
            _check_group(group, draft)
        life = ttl * 1000
        if online_only and not draft.call:
            life = self._online_grace + draft.spread_over * 1000
        message = Message(
            id=self._ids.make(now) if draft.id is None else draft.id,
            app=app.app,
            payload=draft.payload,
            content_type=draft.content_type,
            created_at=now,
            expires_at=now + life,
            qos=draft.qos,
            priority=draft.priority,
            collapse_key=draft.collapse_key,
            online_only=online_only,
            spread_over=draft.spread_over,
            call=draft.call,
            topic=None if reply is None else reply.topic,
            correlation=None if reply is None else reply.correlation,
            said=None if group is None else Said(group, 0, draft.sender),
        )
        return Envelope(message, audience, draft.label)


def _check_options(draft: Draft) -> None:
    if not 0 <= draft.qos <= 2:
        raise ValidationFailed("there is no such QoS", details=[("options.qos", "0, 1 or 2")])
    if draft.ttl is not None and not 0 <= draft.ttl <= MAX_TTL:
        raise _not_allowed("ttl", f"from 0 to {MAX_TTL} seconds")
    if draft.priority not in PRIORITIES:
        raise _not_allowed("priority", " or ".join(PRIORITIES))
    if draft.collapse_key is not None and not 0 < len(draft.collapse_key) <= MAX_COLLAPSE_KEY:
        raise _not_allowed("collapse_key", f"1 to {MAX_COLLAPSE_KEY} characters")
    if draft.label is not None and not 0 < len(draft.label) <= MAX_LABEL:
        raise _not_allowed("label", f"1 to {MAX_LABEL} characters")
    if not 0 <= draft.spread_over <= MAX_SPREAD:
        raise _not_allowed("spread_over", f"from 0 to {MAX_SPREAD} seconds")


def _check_group(group: str, draft: Draft) -> None:
    """What is said in a group comes to all members in one sequence: nothing overtakes, waits, or goes."""
    check_group_name(group, "audience.group")
    wrong = [
        (f"options.{option}", "not to a group, whose messages keep their sequence")
        for option, given in (
            ("priority", draft.priority != PRIORITIES[0]),
            ("collapse_key", draft.collapse_key is not None),
            ("spread_over", draft.spread_over > 0),
        )
        if given
    ]
    if wrong:
        raise ValidationFailed("an option is not for messages to groups", details=wrong)


def _not_allowed(option: str, rule: str) -> ValidationFailed:
    return ValidationFailed("a field's value is not allowed", details=[(f"options.{option}", rule)])
