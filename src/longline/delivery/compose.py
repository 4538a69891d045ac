"""From a draft to a message: its id, its times, and everything that may be wrong with it."""

from longline.delivery.audience import checked
from longline.delivery.draft import Draft
from longline.delivery.ids import MessageIds
from longline.errors import NotSupported, PayloadEmpty, PayloadTooLarge, ValidationFailed
from longline.model.apps import App
from longline.model.messages import (
    MAX_COLLAPSE_KEY,
    MAX_PAYLOAD,
    MAX_SPREAD,
    MAX_TTL,
    PRIORITIES,
    Envelope,
    Message,
)


class Composer:
    """Makes messages.

    `default_ttl` in seconds; `online_grace`: seconds that a message for who is connected lasts.
    """

    def __init__(self, *, default_ttl: int, online_grace: float) -> None:
        self._default_ttl = default_ttl
        self._online_grace = int(online_grace * 1000)
        self._ids = MessageIds()

    def compose(self, app: App, draft: Draft, now: int) -> Envelope:
        """The message, accepted at `now` (ms).

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
        audience = checked(draft.audience)
        life = self._online_grace + draft.spread_over * 1000 if online_only else ttl * 1000
        message = Message(
            id=self._ids.make(now),
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
        )
        return Envelope(message, audience)


def _check_options(draft: Draft) -> None:
    if not 0 <= draft.qos <= 2:
        raise ValidationFailed("there is no such QoS", details=[("options.qos", "0 or 1")])
    if draft.qos == 2:
        raise NotSupported("this version does not push with QoS 2", details=[("options.qos", "0 or 1")])
    if draft.ttl is not None and not 0 <= draft.ttl <= MAX_TTL:
        raise _not_allowed("ttl", f"from 0 to {MAX_TTL} seconds")
    if draft.priority not in PRIORITIES:
        raise _not_allowed("priority", " or ".join(PRIORITIES))
    if draft.collapse_key is not None and not 0 < len(draft.collapse_key) <= MAX_COLLAPSE_KEY:
        raise _not_allowed("collapse_key", f"1 to {MAX_COLLAPSE_KEY} characters")
    if not 0 <= draft.spread_over <= MAX_SPREAD:
        raise _not_allowed("spread_over", f"from 0 to {MAX_SPREAD} seconds")


def _not_allowed(option: str, rule: str) -> ValidationFailed:
    return ValidationFailed("a field's value is not allowed", details=[(f"options.{option}", rule)])
