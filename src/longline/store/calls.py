"""A call, its reply, and what the error replies of a server ask of us."""

from asyncio import Future
from enum import Enum, auto
from typing import Final, TypeAlias

from longline.errors import LonglineError, Overloaded, StoreError, Unavailable
from longline.store.script import Script

Word: TypeAlias = bytes | int | str
Reply: TypeAlias = bytes | int | list["Reply"] | None

# Of a server's work, a unit is what a delivery, a receipt or a command takes: 20 to 50 µs. So much is taken
# for a script of which nobody says how much it goes through.
SOME: Final = 4


def read_error(text: str) -> StoreError:
    """An error reply as it came, without its leading dash."""
    word, _, rest = text.partition(" ")
    return StoreError(word=word, text=rest)


class Call:
    """What was asked, by whom and until when.

    `sequence` rises in the order given and is 0 for a connection's own business (a greeting, a script being
    loaded), which is never repeated. `plain`: whoever reads the reply can hand it to the future and forget.
    `work`: units of the server's, as far as they are known.
    """

    __slots__ = (
        *("deadline", "durable", "future", "payload", "plain", "refusals", "script", "sequence", "tag"),
        "work",
    )

    def __init__(
        self,
        future: "Future[Reply]",
        payload: bytes,
        tag: bytes = b"",
        sequence: int = 0,
        deadline: float = 0.0,
        script: Script | None = None,
        durable: bool = False,
        work: int = 0,
    ) -> None:
        self.future = future
        self.payload = payload
        self.tag = tag
        self.sequence = sequence
        self.deadline = deadline
        self.script = script
        self.durable = durable
        self.plain = not durable
        self.refusals = 0
        self.work = work

    def answer(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Remedy(Enum):
    """What to do about an error reply."""

    ANSWER = auto()  # it is the answer
    MOVED = auto()  # another server has the slot: go there
    LOAD = auto()  # the script is not there: load it and repeat
    AGAIN = auto()  # not now: repeat after a while
    RECONNECT = auto()  # not now and not over this connection: connect anew, and repeat
    FULL = auto()  # the server has no memory left
    DENIED = auto()  # the server does not let us, for now: whoever runs it has changed what we may


_REMEDIES: Final = {
    "MOVED": Remedy.MOVED,
    "NOSCRIPT": Remedy.LOAD,
    # The slot is on the move, key by key. ASK is not followed: at the importing server a script would take
    # those of its keys for absent that have not arrived yet (only declared keys are checked there). Where
    # the slot comes from every access to a key that left is refused, so a call waits for the move's end.
    "ASK": Remedy.AGAIN,
    "TRYAGAIN": Remedy.AGAIN,
    "CLUSTERDOWN": Remedy.AGAIN,
    "LOADING": Remedy.AGAIN,
    "BUSY": Remedy.AGAIN,
    "NOREPLICAS": Remedy.AGAIN,
    "MISCONF": Remedy.AGAIN,
    "READONLY": Remedy.RECONNECT,
    "MASTERDOWN": Remedy.RECONNECT,
    "UNBLOCKED": Remedy.RECONNECT,
    "OOM": Remedy.FULL,
    "NOAUTH": Remedy.DENIED,
    "NOPERM": Remedy.DENIED,
    "WRONGPASS": Remedy.DENIED,
}
# A script of a slot on the move touched a key that it had not declared and that has left already.
_NON_LOCAL_KEY: Final = "access a non local key"


def judge(error: StoreError) -> Remedy:
    """What an error reply asks of whoever sent the call."""
    if error.word == "ERR" and _NON_LOCAL_KEY in error.text:
        return Remedy.AGAIN
    return _REMEDIES.get(error.word, Remedy.ANSWER)


def refusal(error: StoreError) -> LonglineError:
    """The error that whoever made a call is told, for an error reply that is not to be repeated."""
    match judge(error):
        case Remedy.FULL:
            return Overloaded("the store has no memory left")
        case Remedy.DENIED:
            return Unavailable(f"the store does not let us do this ({error.word})")
        case _:
            return error
