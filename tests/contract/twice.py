"""A store that carries out every call twice, as one does whose connection broke before the answer came."""

from asyncio import Future
from collections.abc import Awaitable, Sequence

from longline.store.calls import SOME
from longline.store.redis import Reply, Script, Store, Word


class TwiceStore(Store):
    """Answers with what the repetition answers. The two follow each other without anything in between."""

    def run(
        self,
        tag: bytes,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Word],
        *,
        durable: bool = False,
        work: int = SOME,
    ) -> Awaitable[Reply]:
        _forget(super().run(tag, script, keys, args, durable=durable, work=work))
        return super().run(tag, script, keys, args, durable=durable, work=work)

    def call(self, tag: bytes, *command: Word, durable: bool = False) -> Awaitable[Reply]:
        _forget(super().call(tag, *command, durable=durable))
        return super().call(tag, *command, durable=durable)


def _forget(answer: Awaitable[Reply]) -> None:
    """Nobody waits for the first answer: it was lost."""
    assert isinstance(answer, Future)
    answer.add_done_callback(lambda future: future.cancelled() or future.exception())
