"""What somebody wants to have sent."""

import msgspec

from longline.delivery.replies import ReplyAddress
from longline.model.audience import Wanted


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message before it is one: nothing of it has been checked, and it has no id.

    `content_type` is a MIME type. `ttl`: seconds in which a device that is away may come for it; 0, like
    `online_only`, means: only who is connected now; None: as long as the node's settings say. `spread_over`:
    seconds over which it is written to everyone. `send_at`: when it is to be sent, as RFC 3339 writes it, or
    without an offset; None: now. `call`: who sends it waits for the device's answer, for `ttl` seconds.
    `reply`: it answers a message of the device that is its audience, which has asked for that there. `id`:
    that which was promised for it; None: a new one. `sender`: the member of a group who says it; None: the
    app server. The others are as in `Message` and `Envelope`.
    """

    audience: Wanted
    payload: bytes
    content_type: str
    ttl: int | None = None
    qos: int = 1
    priority: str = "normal"
    collapse_key: str | None = None
    label: str | None = None
    online_only: bool = False
    spread_over: int = 0
    send_at: str | None = None
    call: bool = False
    reply: ReplyAddress | None = None
    id: str | None = None
    sender: str | None = None
