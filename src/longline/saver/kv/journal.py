"""Submissions that are more than one step: begun, carried out, finished.

What several partitions have to store, and what comes with an idempotency key, is written into the journal
before anything else, with the decision on each of its messages: from then on it is accepted. Carrying it out
can be repeated by anybody, since every message is stored once by its id; so whoever finds an entry that is
not finished, be it a second request with the key or `RoutingStore.complete`, carries it out as the first one
would.

An entry is a HASH: `d` digest of the request, `s` the submission while there is work to do, `r` results, `e`
when it is forgotten (ms; 0 for one without a key, which goes when it is finished).
"""

from binascii import crc32

import msgspec

from longline.saver.kv import layout
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.messages import Accepted, IdempotencyConflict, Refused, Submission
from longline.store.redis import Word
from longline.telemetry.faults import Faults

BEGIN = script("begin.lua")
FINISH = script("finish.lua")
INTERRUPTED = script("interrupted.lua")

CONFLICT, BEGUN, FINISHED = -1, 0, 1

Results = tuple[Accepted | Refused, ...]


class Plan(msgspec.Struct, frozen=True):
    """A submission, and what was decided of its messages; for how many a broadcast is, its storing tells."""

    submission: Submission
    results: Results

    def accepted(self) -> bool:
        """Whether there is anything to store."""
        return any(isinstance(result, Accepted) for result in self.results)


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Plan).decode
_unpack_results = msgspec.msgpack.Decoder(Results).decode


class Journal:
    """The journal's entries; each is in the partition that its name falls into."""

    def __init__(self, partitions: Partitions, faults: Faults) -> None:
        self._partitions = partitions
        self._faults = faults

    async def begin(self, plan: Plan) -> Plan | Results | IdempotencyConflict:
        """The plan to carry out: this one, or an earlier one of the key; or the results of an earlier one.

        Of a plan with nothing to store nothing is kept.
        """
        submission = plan.submission
        name = _name(submission)
        begun = await self._partitions.run(
            self._home(name),
            BEGIN,
            [
                name,
                submission.digest,
                _pack(plan),
                int(plan.accepted()),
                submission.now,
                submission.now + submission.idempotency_ttl if submission.idempotency_key else 0,
            ],
            durable=True,
        )
        step, *stored = msgspec.convert(begun, list[int | bytes])
        if step == CONFLICT:
            return IdempotencyConflict()
        if step == BEGUN:
            return plan
        (packed,) = stored
        assert isinstance(packed, bytes)
        return _unpack_results(packed) if step == FINISHED else _unpack(packed)

    async def finish(self, plan: Plan, results: Results) -> None:
        """Keeps the results for as long as the key is remembered, or forgets the entry.

        It is forgotten where there is no key, and where nothing was stored after all.
        """
        name = _name(plan.submission)
        submission = plan.submission
        stored = sum(isinstance(result, Accepted) for result in results)
        args: list[Word] = [name, _pack(results) if stored else b"", submission.app, stored, submission.now]
        await self._partitions.run(self._home(name), FINISH, args)

    async def interrupted(self, before: int, limit: int) -> list[Plan]:
        """Plans that were begun before `before` (ms) and not finished, but for those that nobody can read."""
        plans: list[Plan] = []
        for reply in await self._partitions.run_all(INTERRUPTED, [before, limit]):
            for packed in msgspec.convert(reply, list[bytes]):
                try:
                    plans.append(_unpack(packed))
                except msgspec.MsgspecError as error:
                    self._faults.note("saver.journal", error)
        return plans[:limit]

    def _home(self, name: bytes) -> int:
        return crc32(name) % self._partitions.count


def _name(submission: Submission) -> bytes:
    if submission.idempotency_key is not None:
        return b"%d:k%b" % (submission.app, submission.idempotency_key.encode())
    return b"%d:i%b" % (submission.app, layout.id_bytes(submission.envelopes[0].message.id))
