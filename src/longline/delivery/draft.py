"""What somebody wants to have sent."""

import msgspec

from longline.model.audience import Audience


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message before it is one: nothing of it has been checked, and it has no id.

    `content_type` is a MIME type. `ttl`: seconds in which a device that is away may come for it; 0, like
    `online_only`, means: only who is connected now; None: as long as the node's settings say. `spread_over`:
    seconds over which it is written to everyone. The others are as in `Message`.
    """

    audience: Audience
    payload: bytes
    content_type: str
    ttl: int | None = None
    qos: int = 1
    priority: str = "normal"
    collapse_key: str | None = None
    online_only: bool = False
    spread_over: int = 0
