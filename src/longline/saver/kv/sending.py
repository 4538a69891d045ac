"""Storing messages.

Most submissions are for devices of one partition and have no idempotency key: those of a batch that are
for one partition are one script. The others go by way of the journal.
"""

import asyncio
from collections.abc import Awaitable, Sequence

import msgspec

from longline.errors import AppNotFound, NoTarget
from longline.model.audience import Everyone
from longline.model.commands import Broadcast, Part, Target, Unicast
from longline.model.messages import Envelope, Message
from longline.saver.kv import layout
from longline.saver.kv.audiences import part_of
from longline.saver.kv.journal import Journal, Plan, Results
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from longline.store.redis import Reply, Script, Store, Word

ENQUEUE = Script("longline.saver.lua", "enqueue.lua")
RESOLVE = Script("longline.saver.lua", "resolve.lua")

BODY_MARGIN = 86_400_000  # ms: how much later than all else a forgotten body of a broadcast goes by itself
DELETED = -1  # in the answer of `enqueue.lua`: there is no such app

_APP_NOT_FOUND = Refused(AppNotFound.code)
_NO_TARGET = Refused(NoTarget.code)

Route = Unicast | Broadcast


class Sending:
    """Fulfils `Saver.enqueue` and `Saver.complete`. `retention_ms`: from a message's end to its ledger's."""

    def __init__(self, store: Store, retention_ms: int) -> None:
        self._store = store
        self._partitions = store.partitions
        self._tags = [layout.tag(partition) for partition in range(store.partitions)]
        self._keys = [[layout.prefix(partition)] for partition in range(store.partitions)]
        self._journal = Journal(store)
        self._retention = retention_ms

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        """Answers in the order of the batch."""
        whole: dict[int, list[int]] = {}
        journalled: list[int] = []
        for index, submission in enumerate(batch):
            partition = self._only_partition(submission)
            if partition is None:
                journalled.append(index)
            else:
                whole.setdefault(partition, []).append(index)
        calls = [
            self._send_whole(partition, [batch[index] for index in indexes])
            for partition, indexes in whole.items()
        ]
        answers: dict[int, Outcome | IdempotencyConflict] = {}
        if len(calls) == 1 and not journalled:
            replies = [await calls[0]]
        else:
            steps = (self._send_journalled(batch[index]) for index in journalled)
            replies, outcomes = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*steps))
            answers.update(zip(journalled, outcomes, strict=True))
        for (partition, indexes), reply in zip(whole.items(), replies, strict=True):
            rest = iter(_replies(reply))
            for index in indexes:
                submission = batch[index]
                own = [next(rest) for _ in submission.envelopes]
                answers[index] = self._outcome(partition, submission, own)
        return [answers[index] for index in range(len(batch))]

    async def complete(self, before: int, limit: int) -> list[Route]:
        """Carries out what was begun before `before` (ms) and is not finished."""
        routes: list[Route] = []
        for plan in await self._journal.interrupted(before, limit):
            results, found = await self._carry_out(plan)
            await self._journal.finish(plan, results)
            routes += found
        return routes

    # --- of one partition ---

    def _only_partition(self, submission: Submission) -> int | None:
        """The partition of all devices that a submission without a key names; None when it is not one."""
        if submission.idempotency_key is not None:
            return None
        only: int | None = None
        for envelope in submission.envelopes:
            if isinstance(envelope.audience, Everyone):
                return None
            for device in envelope.audience.devices:
                partition = self._store.partition_of(submission.app, device)
                if only is None:
                    only = partition
                elif only != partition:
                    return None
        return only or 0

    def _send_whole(self, partition: int, submissions: Sequence[Submission]) -> Awaitable[Reply]:
        args: list[Word] = []
        for submission in submissions:
            for envelope in submission.envelopes:
                assert not isinstance(envelope.audience, Everyone)
                args += _unicast(submission, envelope.message, envelope.audience.devices, False)
        return self._store.run(self._tags[partition], ENQUEUE, self._keys[partition], args, durable=True)

    def _outcome(self, partition: int, submission: Submission, replies: Sequence[Reply]) -> Outcome:
        results: list[Accepted | Refused] = []
        routes: list[Route] = []
        for envelope, reply in zip(submission.envelopes, replies, strict=True):
            assert not isinstance(envelope.audience, Everyone)
            if not isinstance(reply, list):
                results.append(_APP_NOT_FOUND if reply == DELETED else _NO_TARGET)
                continue
            names = envelope.audience.devices
            results.append(Accepted(envelope.message.id, len(names)))
            targets = [target for target in self._targets(partition, names, reply) if target is not None]
            if targets:
                routes.append(Unicast(submission.app, envelope.message, tuple(targets)))
        return Outcome(tuple(results), tuple(routes))

    def _targets(self, partition: int, names: Sequence[str], reply: Sequence[Reply]) -> list[Target | None]:
        """Those for whom a message was stored, None in the place of the others."""
        position = reply[0]
        targets: list[Target | None] = []
        for name, place, binding, before in zip(names, reply[1::3], reply[2::3], reply[3::3], strict=True):
            assert isinstance(position, int)
            assert isinstance(place, int)
            assert isinstance(before, int)
            if place < 0:
                targets.append(None)
                continue
            ordinal = place * self._partitions + partition
            bound = layout.unpack_binding(binding) if isinstance(binding, bytes) else None
            targets.append(Target(name, ordinal, position, bound, before))
        return targets

    # --- by way of the journal ---

    async def _send_journalled(self, submission: Submission) -> Outcome | IdempotencyConflict:
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
        results, routes = await self._carry_out(begun)
        await self._journal.finish(begun, results)
        if begun is not plan:  # routed by whoever began it, or by whoever looks for what is unrouted
            return Outcome(results, (), replayed=True)
        return Outcome(results, tuple(routes))

    async def _decide(self, submission: Submission) -> Results:
        """Which messages have anybody to go to."""
        asked: dict[int, dict[str, None]] = {}
        for envelope in submission.envelopes:
            if isinstance(envelope.audience, Everyone):
                for partition in range(self._partitions):
                    asked.setdefault(partition, {})
            else:
                for device in envelope.audience.devices:
                    partition = self._store.partition_of(submission.app, device)
                    asked.setdefault(partition, {})[device] = None
        replies = await asyncio.gather(
            *(
                self._store.run(
                    self._tags[partition], RESOLVE, self._keys[partition], [submission.app, *names]
                )
                for partition, names in asked.items()
            )
        )
        devices = 0
        known: set[str] = set()
        for names, reply in zip(asked.values(), replies, strict=True):
            if reply is None:
                return (_APP_NOT_FOUND,) * len(submission.envelopes)
            count, *exist = msgspec.convert(reply, list[int])
            devices += count
            known.update(name for name, exists in zip(names, exist, strict=True) if exists)
        return tuple(_decision(envelope, devices, known) for envelope in submission.envelopes)

    async def _carry_out(self, plan: Plan) -> tuple[Results, list[Route]]:
        """Stores the messages that were accepted. To be repeated at will."""
        submission = plan.submission
        accepted = [index for index, result in enumerate(plan.results) if isinstance(result, Accepted)]
        await self._store_bodies([submission.envelopes[index] for index in accepted])
        args: dict[int, list[Word]] = {}
        parts: dict[int, list[tuple[int, list[str]]]] = {}  # by partition: envelope and names of each item
        for index in accepted:
            for partition, names in self._divided(submission, submission.envelopes[index]).items():
                words = args.setdefault(partition, [])
                message = submission.envelopes[index].message
                if isinstance(submission.envelopes[index].audience, Everyone):
                    words += self._broadcast(submission, message, partition)
                else:
                    words += _unicast(submission, message, names, True)
                parts.setdefault(partition, []).append((index, names))
        replies = await asyncio.gather(
            *(
                self._store.run(self._tags[partition], ENQUEUE, self._keys[partition], words, durable=True)
                for partition, words in args.items()
            )
        )
        found: dict[int, dict[int, Reply]] = {index: {} for index in accepted}
        for partition, reply in zip(args, replies, strict=True):
            for (index, _), answer in zip(parts[partition], _replies(reply), strict=True):
                found[index][partition] = answer
        return self._gathered(plan, found)

    def _divided(self, submission: Submission, envelope: Envelope) -> dict[int, list[str]]:
        """The names of an audience by partition; for everyone, no names in every partition."""
        if isinstance(envelope.audience, Everyone):
            return {partition: [] for partition in range(self._partitions)}
        divided: dict[int, list[str]] = {}
        for device in envelope.audience.devices:
            divided.setdefault(self._store.partition_of(submission.app, device), []).append(device)
        return divided

    async def _store_bodies(self, envelopes: Sequence[Envelope]) -> None:
        """A broadcast's body is there before the log says so. It goes at the end, or long after by itself."""
        calls = []
        for envelope in envelopes:
            if isinstance(envelope.audience, Everyone):
                message = envelope.message
                message_id = layout.id_bytes(message.id)
                home = layout.home_of(message_id, self._partitions)
                goes = message.expires_at + self._retention + BODY_MARGIN
                body = layout.pack_message(message)
                calls.append(
                    self._store.call(
                        self._tags[home], b"SET", layout.body_key(home, message_id), body, b"PXAT", goes
                    )
                )
        await asyncio.gather(*calls)

    def _broadcast(self, submission: Submission, message: Message, partition: int) -> list[Word]:
        message_id = layout.id_bytes(message.id)
        flags = layout.ONLINE_ONLY if message.online_only else 0
        if layout.home_of(message_id, self._partitions) == partition:
            flags |= layout.HOME
        return [
            b"b",
            submission.app,
            message_id,
            flags,
            submission.now,
            message.created_at,
            message.expires_at - message.created_at,
            message.collapse_key or b"",
        ]

    def _gathered(self, plan: Plan, found: dict[int, dict[int, Reply]]) -> tuple[Results, list[Route]]:
        """Results and routes from what the partitions answered, by envelope."""
        submission = plan.submission
        results = list(plan.results)
        routes: list[Route] = []
        for index, replies in found.items():
            message, audience = submission.envelopes[index].message, submission.envelopes[index].audience
            if DELETED in replies.values():
                results[index] = _APP_NOT_FOUND
            elif isinstance(audience, Everyone):
                parts: list[Part] = []
                targeted = 0
                for partition in range(self._partitions):
                    part, count = part_of(replies[partition])
                    parts.append(part)
                    targeted += count
                results[index] = Accepted(message.id, targeted)
                routes.append(Broadcast(submission.app, message, tuple(parts)))
            else:
                targets: dict[str, Target] = {}
                for partition, names in self._divided(submission, submission.envelopes[index]).items():
                    reply = replies[partition]
                    assert isinstance(reply, list)
                    for target in self._targets(partition, names, reply):
                        if target is not None:
                            targets[target.device] = target
                ordered = tuple(targets[name] for name in audience.devices if name in targets)
                if ordered:
                    routes.append(Unicast(submission.app, message, ordered))
        return tuple(results), routes


def _decision(envelope: Envelope, devices: int, known: set[str]) -> Accepted | Refused:
    if isinstance(envelope.audience, Everyone):
        return Accepted(envelope.message.id, devices) if devices else _NO_TARGET
    names = envelope.audience.devices
    return Accepted(envelope.message.id, len(names)) if not known.isdisjoint(names) else _NO_TARGET


def _unicast(submission: Submission, message: Message, names: Sequence[str], in_any_case: bool) -> list[Word]:
    """The words of one message for `enqueue.lua`."""
    flags = layout.ONLINE_ONLY if message.online_only else 0
    content = layout.pack_body(message)
    if len(names) > 1 or len(content) > layout.INLINE:
        flags |= layout.KEPT_ELSEWHERE
        content = layout.pack_message(message)
    return [
        b"u",
        submission.app,
        layout.id_bytes(message.id),
        flags,
        submission.now,
        message.created_at,
        message.expires_at - message.created_at,
        message.collapse_key or b"",
        content,
        1 if in_any_case else 0,
        len(names),
        *names,
    ]


def _replies(reply: Reply) -> list[Reply]:
    assert isinstance(reply, list)
    return reply
