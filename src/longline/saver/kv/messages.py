"""Storing messages, and taking them back.

Most submissions are for devices of one partition and have no idempotency key: those of a batch that are
for one partition are one script. The others go by way of the journal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from operator import itemgetter

import msgspec

from longline.errors import NoTarget, StoreError
from longline.model.audience import way_of
from longline.model.commands import Unicast
from longline.model.messages import Said
from longline.saver.kv import layout
from longline.saver.kv.audiences import FIND_TARGETS, pack_expression
from longline.saver.kv.carrying import (
    APP_NOT_FOUND,
    DELETED,
    ENQUEUE,
    NO_GROUP,
    Carrying,
    Route,
    replies,
    sender_words,
    targets_of,
    unicast_words,
)
from longline.saver.kv.journal import Journal, Plan, Results
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.sayings import Sayings
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, gathered, is_of_an_item, scatter
from longline.telemetry.faults import Faults

CANCEL = script("cancel.lua")
IS_MEMBER = script("is_member.lua")

CANCELLED = "cancelled"

LITTLE = 16  # deliveries of which nobody notices that they go before other work

_NO_TARGET = Refused(NoTarget.code)

_Whole = tuple[int, Submission]  # one that goes into one partition, and that
_Answer = Outcome | IdempotencyConflict
_partition_of: Callable[[_Whole], int] = itemgetter(0)


class KvMessages:
    """Fulfils `MessageStore`. `urgent`: the same partitions, for messages to a few devices."""

    def __init__(
        self,
        partitions: Partitions,
        urgent: Partitions,
        journal: Journal,
        carrying: Carrying,
        sayings: Sayings,
        faults: Faults,
    ) -> None:
        self._partitions = partitions
        self._urgent = urgent
        self._sayings = sayings
        self._journal = journal
        self._carrying = carrying
        self._faults = faults
        self._spare: Spare[_Whole, Outcome] = Spare(faults, "saver.messages", lambda item: _failed(item[1]))

    async def enqueue(self, batch: Sequence[Submission]) -> list[_Answer]:
        """One script a partition, and the way by the journal for each of the others, all side by side."""
        whole: list[_Whole] = []
        journalled: list[Submission] = []
        order: list[bool] = []  # whether each is a whole one
        for submission in batch:
            partition = self._only_partition(submission)
            order.append(partition is not None)
            if partition is None:
                journalled.append(submission)
            else:
                whole.append((partition, submission))
        if not journalled:
            return [*await scatter(whole, _partition_of, self._ask, self._read, self._spare)]
        outcomes, answers = await asyncio.gather(
            scatter(whole, _partition_of, self._ask, self._read, self._spare),
            self._send_all_journalled(journalled, alone=not whole),
        )
        of_whole, of_journalled = iter(outcomes), iter(answers)
        return [next(of_whole) if is_whole else next(of_journalled) for is_whole in order]

    # --- of one partition ---

    def _only_partition(self, submission: Submission) -> int | None:
        """The partition of all devices that a submission without a key names; None when it is not one."""
        if submission.idempotency_key is not None:
            return None
        only: int | None = None
        for envelope in submission.envelopes:
            names, expression = way_of(envelope.audience)
            if expression is not None:
                return None
            for device in names:
                partition = self._partitions.of(submission.app, device)
                if only is None:
                    only = partition
                elif only != partition:
                    return None
        return only or 0

    def _ask(self, partition: int, part: Sequence[_Whole]) -> Awaitable[Reply]:
        bounds = self._carrying.bounds
        args: list[Word] = [*bounds]
        deliveries = 0
        for _, submission in part:
            if submission.inbox is not None or bounds is not self._carrying.bounds:
                bounds = self._carrying.bounds_of(submission)
                args += b"q", *bounds
            for envelope in submission.envelopes:
                names, _ = way_of(envelope.audience)
                deliveries += len(names)
                args += unicast_words(submission, envelope.message, names, False)
                args += sender_words(submission, envelope)
        partitions = self._urgent if deliveries <= LITTLE else self._partitions
        return partitions.run(partition, ENQUEUE, args, durable=True, work=deliveries)

    def _read(self, partition: int, part: Sequence[_Whole], reply: Reply) -> list[Outcome]:
        rest = iter(replies(reply))
        return [self._outcome(partition, submission, rest) for _, submission in part]

    def _outcome(self, partition: int, submission: Submission, rest: Iterator[Reply]) -> Outcome:
        results: list[Accepted | Refused] = []
        routes: list[Route] = []
        for envelope in submission.envelopes:
            reply = next(rest)
            if not isinstance(reply, list):
                results.append(APP_NOT_FOUND if reply == DELETED else _NO_TARGET)
                continue
            names, _ = way_of(envelope.audience)
            results.append(Accepted(envelope.message.id, len(names)))
            targets = targets_of(partition, self._partitions.count, names, reply)
            if targets:
                routes.append(Unicast(submission.app, envelope.message, tuple(targets)))
        return Outcome(tuple(results), tuple(routes))

    # --- by way of the journal ---

    async def _send_all_journalled(self, submissions: Sequence[Submission], alone: bool) -> list[_Answer]:
        """One that the store refuses fails alone, unless all do and there are no others."""
        answers = await asyncio.gather(*map(self._send_journalled, submissions), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        for error in errors:
            if not is_of_an_item(error) or (alone and len(errors) == len(answers)):
                raise error
            self._faults.note("saver.messages", error)
        return [
            _failed(submission) if isinstance(answer, BaseException) else answer
            for submission, answer in zip(submissions, answers, strict=True)
        ]

    async def _send_journalled(self, submission: Submission) -> _Answer:
        plan = Plan(submission, await self._decide(submission))
        if not plan.accepted() and submission.idempotency_key is None:
            return Outcome(plan.results, ())
        begun = await self._journal.begin(plan)
        if isinstance(begun, IdempotencyConflict):
            return begun
        if isinstance(begun, tuple):
            return Outcome(begun, (), replayed=True)
        if not begun.accepted():
            return Outcome(begun.results, ())
        results, routes = await self._carrying.carry_out(begun)
        await self._journal.finish(begun, results)
        if begun is not plan:  # routed by whoever began it, or by whoever looks for what is unrouted
            return Outcome(results, (), replayed=True)
        return Outcome(results, tuple(routes))

    async def _decide(self, submission: Submission) -> Results:
        """Which messages have anybody to go to."""
        asked: dict[int, dict[str, None]] = {}
        expressions: dict[bytes, int] = {}  # packed, and how many devices each describes
        for envelope in submission.envelopes:
            names, expression = way_of(envelope.audience)
            if expression is not None and envelope.message.said is None:
                expressions[pack_expression(expression)] = 0
            for device in names:
                asked.setdefault(self._partitions.of(submission.app, device), {})[device] = None
        if expressions:
            asked = {partition: asked.get(partition, {}) for partition in range(self._partitions.count)}
        calls = [
            self._partitions.run(
                partition, FIND_TARGETS, [submission.app, len(expressions), *expressions, *names]
            )
            for partition, names in asked.items()
        ]
        known: set[str] = set()
        for devices, reply in zip(asked.values(), await gathered(calls), strict=True):
            if reply is None:
                return (APP_NOT_FOUND,) * len(submission.envelopes)
            found = iter(msgspec.convert(reply, list[int]))
            for packed in expressions:
                expressions[packed] += next(found)
            known.update(name for name, exists in zip(devices, found, strict=True) if exists)
        members = await self._members_of(submission)
        results: list[Accepted | Refused] = []
        for envelope in submission.envelopes:
            names, expression = way_of(envelope.audience)
            if envelope.message.said is not None:
                found_members = members[envelope.message.said]
                if found_members is None:
                    results.append(NO_GROUP)
                    continue
                targeted = found_members
            elif expression is not None:
                targeted = expressions[pack_expression(expression)]
            else:
                targeted = 0 if known.isdisjoint(names) else len(names)
            results.append(Accepted(envelope.message.id, targeted) if targeted else _NO_TARGET)
        return tuple(results)

    async def _members_of(self, submission: Submission) -> dict[Said, int | None]:
        """How many members the groups have in which something is said, as of their latest change; None where
        there is no such group, or who says it is not a member."""
        members: dict[Said, int | None] = {}
        for envelope in submission.envelopes:
            if envelope.message.said is not None:
                members[envelope.message.said] = None
        if not members:
            return members
        groups = list(dict.fromkeys(said.group for said in members))
        found = await gathered([self._sayings.find(submission.app, group) for group in groups])
        records = {group: record for group, record in zip(groups, found, strict=True) if record is not None}
        by_members = [said for said in members if said.sender is not None and said.group in records]

        def ask(partition: int, part: Sequence[Said]) -> Awaitable[Reply]:
            args: list[Word] = []
            for said in part:
                args += submission.app, said.sender or "", records[said.group].number
            return self._partitions.run(partition, IS_MEMBER, args)

        allowed = await scatter(
            by_members,
            lambda said: self._partitions.of(submission.app, said.sender or ""),
            ask,
            lambda partition, part, reply: msgspec.convert(reply, list[int]),
        )
        strangers = {said for said, code in zip(by_members, allowed, strict=True) if not code}
        for said in members:
            if said.group in records and said not in strangers:
                members[said] = records[said.group].members
        return members

    # --- taking back ---

    async def cancel(self, app: int, message_id: str, now: int) -> bool:
        """Partition by partition: to be repeated when it is interrupted."""
        packed = layout.id_bytes(message_id)
        if not packed:
            return False
        return 1 in await self._partitions.run_all(CANCEL, [app, packed, CANCELLED, now], durable=True)


def _failed(submission: Submission) -> Outcome:
    """The outcome of one that the store refuses, while it takes others."""
    return Outcome((Refused(StoreError.code),) * len(submission.envelopes), ())
