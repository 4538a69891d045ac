"""What the server says of other apps on a connection."""

import msgspec


class LinkAnswer(msgspec.Struct, frozen=True):
    """What `$link/reply` says."""

    status: str
    request: str = ""
    app: str = ""
    device: str = ""
    code: str = ""
    reason: int = 0
    message: str = ""
    retryable: bool = False


def read_link_answer(payload: bytes) -> LinkAnswer | None:
    """What a message on the topic says; None where that is nothing this version understands."""
    try:
        return msgspec.json.decode(payload, type=LinkAnswer)
    except (msgspec.MsgspecError, RecursionError):  # the latter: brackets by the thousand
        return None
