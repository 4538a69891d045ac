"""A call, its reply, and what the error replies of a server ask of us."""

from asyncio import Future
from enum import Enum, auto
from typing import Final, Self, TypeAlias

from longline.store.script import Script

Word: TypeAlias = bytes | int | str
Reply: TypeAlias = bytes | int | list["Reply"] | None


class StoreError(Exception):
    """An error reply. `code`: its first word, such as `ERR` or a script's `FENCED`. `message`: the rest."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    @classmethod
    def read(cls, text: str) -> Self:
        """An error reply as it came, without its leading dash."""
        code, _, message = text.partition(" ")
        return cls(code, message)

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


class Call:
    """What was asked, by whom and until when.

    `sequence` rises in the order given and is 0 for a connection's own business (a greeting, a script being
    loaded), which is never repeated. `plain`: whoever reads the reply can hand it to the future and forget.
    """

    __slots__ = ("deadline", "durable", "future", "payload", "plain", "refusals", "script", "sequence", "tag")

    def __init__(
        self,
        future: "Future[Reply]",
        payload: bytes,
        tag: bytes = b"",
        sequence: int = 0,
        deadline: float = 0.0,
        script: Script | None = None,
        durable: bool = False,
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

    def answer(self, reply: Reply) -> None:
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Verdict(Enum):
    """What to do about an error reply."""

    ANSWER = auto()  # it is the answer
    MOVED = auto()  # another server has the slot: go there
    LOAD = auto()  # the script is not there: load it and repeat
    AGAIN = auto()  # not now: repeat after a while
    ELSEWHERE = auto()  # not now and not over this connection: reconnect, and repeat
    FULL = auto()  # the server has no memory left


_VERDICTS: Final = {
    "MOVED": Verdict.MOVED,
    "NOSCRIPT": Verdict.LOAD,
    # The slot is on the move, key by key. ASK is not followed: at the importing server a script would take
    # those of its keys for absent that have not arrived yet (only declared keys are checked there). Where
    # the slot comes from every access to a key that left is refused, so a call waits for the move's end.
    "ASK": Verdict.AGAIN,
    "TRYAGAIN": Verdict.AGAIN,
    "CLUSTERDOWN": Verdict.AGAIN,
    "LOADING": Verdict.AGAIN,
    "BUSY": Verdict.AGAIN,
    "NOREPLICAS": Verdict.AGAIN,
    "MISCONF": Verdict.AGAIN,
    "READONLY": Verdict.ELSEWHERE,
    "MASTERDOWN": Verdict.ELSEWHERE,
    "UNBLOCKED": Verdict.ELSEWHERE,
    "OOM": Verdict.FULL,
}
# A script of a slot on the move touched a key that it had not declared and that has left already.
_NON_LOCAL_KEY: Final = "access a non local key"


def judge(error: StoreError) -> Verdict:
    """What an error reply asks of whoever sent the call."""
    if error.code == "ERR" and _NON_LOCAL_KEY in error.message:
        return Verdict.AGAIN
    return _VERDICTS.get(error.code, Verdict.ANSWER)
