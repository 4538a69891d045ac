"""Carrying out what is in the journal: each message into every partition that it has devices in.

To be repeated at will, by anybody: a partition stores a message once, by its id.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from longline.errors import AppNotFound, GroupNotFound, Unavailable
from longline.model.audience import InGroup, way_of
from longline.model.commands import Broadcast, Part, Target, Unicast
from longline.model.messages import Envelope, Message
from longline.saver.kv import layout
from longline.saver.kv.audiences import pack_expression, pack_group, part_of
from longline.saver.kv.journal import Plan, Results
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.sayings import GroupPlace, Sayings, in_place
from longline.saver.port.inboxes import InboxBounds
from longline.saver.port.messages import Accepted, Refused, Submission
from longline.store.calls import SOME
from longline.store.redis import Reply, Word
from longline.store.scatter import divide, gathered, scatter

ENQUEUE = script("enqueue.lua")
COLLAPSE_WAITING = script("collapse_waiting.lua")

BODY_MARGIN = 86_400_000  # ms: how much later than all else a forgotten body of a broadcast goes by itself
SLICE = 200  # devices, about, whose inboxes one script goes through
DELETED = -1  # in the answer of `enqueue.lua`: there is no such app

MISSING = -2  # and below, there: what was said before it in its group is not there, after the sequence -2 - n
TRIES = 64  # to store it
AT_ONCE = 64  # messages that are stored together for that

APP_NOT_FOUND = Refused(AppNotFound.code)
NO_GROUP = Refused(GroupNotFound.code)

Route = Unicast | Broadcast


class _Entry(NamedTuple):
    """What one partition has to store of the envelope with this number; without names for an expression."""

    partition: int
    number: int
    names: Sequence[str]


class Carrying:
    """`retention`: ms from a message's end to that of its ledger. `inbox`: what may wait for a device."""

    def __init__(self, partitions: Partitions, retention: int, inbox: InboxBounds, sayings: Sayings) -> None:
        self._partitions = partitions
        self._sayings = sayings
        self.bounds: tuple[Word, ...] = (inbox.messages, inbox.payload_bytes)
        self._retention = retention

    def bounds_of(self, submission: Submission) -> tuple[Word, ...]:
        """What may wait in the inboxes of its app: how many messages, how many bytes of them."""
        own = submission.inbox
        return self.bounds if own is None else (own.messages, own.payload_bytes)

    async def carry_out(self, plan: Plan) -> tuple[Results, list[Route]]:
        """Stores the messages that were accepted; the results, and what to route."""
        plan, places = await self._placed(plan)
        submission = plan.submission
        accepted = [index for index, result in enumerate(plan.results) if isinstance(result, Accepted)]
        bodies = [submission.envelopes[index] for index in accepted]
        await self._store_bodies(bodies, submission.retention or self._retention)
        entries = [
            _Entry(partition, index, names)
            for index in accepted
            for partition, names in self._divided(submission, submission.envelopes[index]).items()
        ]

        def ask(partition: int, part: Sequence[_Entry]) -> Awaitable[Reply]:
            words = [*self.bounds_of(submission)]
            for entry in part:
                words += self._words(submission, entry, places.get(entry.number))
            work = sum(len(entry.names) or SOME for entry in part)
            return self._partitions.run(partition, ENQUEUE, words, durable=True, work=work)

        answers = await scatter(
            entries, lambda entry: entry.partition, ask, lambda partition, part, reply: replies(reply)
        )
        for at, (entry, answer) in enumerate(zip(entries, answers, strict=True)):
            if isinstance(answer, int) and answer <= MISSING:
                answers[at] = await self._store_after(submission, entry, places[entry.number], answer)
        await gathered(
            [
                self._collapse_waiting(
                    submission, entry.partition, submission.envelopes[entry.number].message
                )
                for entry in entries
                if not entry.names and _collapses(submission.envelopes[entry.number])
            ]
        )
        found: dict[int, list[tuple[_Entry, Reply]]] = {index: [] for index in accepted}
        for entry, answer in zip(entries, answers, strict=True):
            found[entry.number].append((entry, answer))
        return self._gathered(plan, found)

    async def _placed(self, plan: Plan) -> tuple[Plan, Mapping[int, GroupPlace]]:
        """The plan with the places of its messages to groups, and these by number; without those whose group
        is gone."""
        submission = plan.submission
        spoken = [
            index
            for index, result in enumerate(plan.results)
            if isinstance(result, Accepted) and submission.envelopes[index].message.said is not None
        ]
        if not spoken:
            return plan, {}
        messages = [submission.envelopes[index].message for index in spoken]
        found = await self._sayings.add(submission.app, messages, submission.now)
        envelopes, results = list(submission.envelopes), list(plan.results)
        places: dict[int, GroupPlace] = {}
        for index, place in zip(spoken, found, strict=True):
            if place is None:
                results[index] = NO_GROUP
                continue
            places[index] = place
            message = in_place(envelopes[index].message, place.sequence)
            envelopes[index] = msgspec.structs.replace(envelopes[index], message=message)
        submission = msgspec.structs.replace(submission, envelopes=tuple(envelopes))
        return Plan(submission, tuple(results)), places

    async def _store_after(
        self, submission: Submission, entry: _Entry, place: GroupPlace, answer: int
    ) -> Reply:
        """Stores what was said in a group before a message and is missing in a partition, and then that.

        Whoever brought it may not have come that far, or may never come. `answer`: which one is there.
        """
        said = submission.envelopes[entry.number].message.said
        assert said is not None
        reply: Reply = answer
        for _ in range(TRIES):
            if not isinstance(reply, int) or reply > MISSING:
                return reply
            last = MISSING - reply
            missing = await self._sayings.between(
                submission.app, said.group, place.group, last, min(place.sequence - last - 1, AT_ONCE)
            )
            words: list[Word] = [*self.bounds_of(submission)]
            before = last
            for sequence, message in missing:
                if sequence >= place.sequence:
                    break
                envelope = Envelope(message, InGroup(said.group))
                await self._store_bodies([envelope], submission.retention or self._retention)
                one = GroupPlace(place.group, sequence)
                words += self._group_words(submission, message, one, before, entry.partition)
                before = sequence
            if before < place.sequence - 1 and missing:  # there are more of them
                reply = replies(await self._partitions.run(entry.partition, ENQUEUE, words, durable=True))[-1]
                reply = reply if isinstance(reply, int) and reply <= MISSING else MISSING - before
                continue
            envelope = submission.envelopes[entry.number]
            words += self._group_words(submission, envelope.message, place, before, entry.partition)
            words += sender_words(submission, envelope)
            reply = replies(await self._partitions.run(entry.partition, ENQUEUE, words, durable=True))[-1]
        raise Unavailable("what was said before in the group could not be stored")

    def _group_words(
        self, submission: Submission, message: Message, place: GroupPlace, before: int, partition: int
    ) -> list[Word]:
        expression = pack_group(place.group)
        words: list[Word] = [b"g", place.group, before, place.sequence]
        return words + self._broadcast_words(submission, message, expression, partition)

    async def _collapse_waiting(self, submission: Submission, partition: int, message: Message) -> None:
        """Collapses what a broadcast makes collapsed in the inboxes of a partition, slice by slice."""
        at: Word = b"0"
        while True:
            args: list[Word] = [submission.app, layout.id_bytes(message.id), at, SLICE, submission.now]
            reply = await self._partitions.run(partition, COLLAPSE_WAITING, args, durable=True)
            assert isinstance(reply, bytes)
            at = reply
            if at == b"0":
                return

    def _divided(self, submission: Submission, envelope: Envelope) -> dict[int, list[str]]:
        """The names of an audience by partition; for an expression, no names in every partition."""
        names, expression = way_of(envelope.audience)
        if expression is not None:
            return {partition: [] for partition in range(self._partitions.count)}
        return divide(names, lambda name: self._partitions.of(submission.app, name))

    async def _store_bodies(self, envelopes: Sequence[Envelope], retention: int) -> None:
        """A broadcast's body is there before the log says so. It goes at the end, or long after by itself."""
        calls = []
        for envelope in envelopes:
            if way_of(envelope.audience)[1] is not None:
                message = envelope.message
                message_id = layout.id_bytes(message.id)
                home = layout.home_of(message_id, self._partitions.count)
                goes = message.expires_at + retention + BODY_MARGIN
                key, body = layout.body_key(home, message_id), layout.pack_message(message)
                calls.append(self._partitions.call(home, b"SET", key, body, b"PXAT", goes))
        await asyncio.gather(*calls)

    def _words(self, submission: Submission, entry: _Entry, place: GroupPlace | None) -> list[Word]:
        """`place`: that of a message to a group."""
        envelope = submission.envelopes[entry.number]
        message, partition = envelope.message, entry.partition
        _, expression = way_of(envelope.audience)
        if expression is None:
            words = unicast_words(submission, message, entry.names, True)
        elif place is not None:
            words = self._group_words(submission, message, place, place.sequence - 1, partition)
        else:
            words = self._broadcast_words(submission, message, pack_expression(expression), partition)
        return words + sender_words(submission, envelope)

    def _broadcast_words(
        self, submission: Submission, message: Message, expression: bytes, partition: int
    ) -> list[Word]:
        message_id = layout.id_bytes(message.id)
        flags = _flags(message)
        if layout.home_of(message_id, self._partitions.count) == partition:
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
            expression,
        ]

    def _gathered(
        self, plan: Plan, found: dict[int, list[tuple[_Entry, Reply]]]
    ) -> tuple[Results, list[Route]]:
        """Results and routes from what the partitions answered, by envelope."""
        submission = plan.submission
        results = list(plan.results)
        routes: list[Route] = []
        for index, answers in found.items():
            message = submission.envelopes[index].message
            names, expression = way_of(submission.envelopes[index].audience)
            if any(answer == DELETED for _, answer in answers):
                results[index] = APP_NOT_FOUND
            elif expression is not None:
                parts: list[Part] = []
                targeted = 0
                for _, answer in answers:  # in the order of partitions
                    part, count = part_of(answer)
                    parts.append(part)
                    targeted += count
                # Also where the last member of a group is gone: its history has the message by now.
                results[index] = Accepted(message.id, targeted)
                routes.append(Broadcast(submission.app, message, tuple(parts)))
            else:
                targets: dict[str, Target] = {}
                for entry, answer in answers:
                    for target in targets_of(entry.partition, self._partitions.count, entry.names, answer):
                        targets[target.device] = target
                ordered = tuple(targets[name] for name in names if name in targets)
                if ordered:
                    routes.append(Unicast(submission.app, message, ordered))
        return tuple(results), routes


def _collapses(envelope: Envelope) -> bool:
    """Whether it is a broadcast before which something may have to be collapsed."""
    message = envelope.message
    return (
        way_of(envelope.audience)[1] is not None
        and message.collapse_key is not None
        and not message.online_only
    )


def _flags(message: Message) -> int:
    return (layout.ONLINE_ONLY if message.online_only else 0) | (
        layout.HIGH if message.priority == "high" else 0
    )


def unicast_words(
    submission: Submission, message: Message, names: Sequence[str], in_any_case: bool
) -> list[Word]:
    """The words of one message for `enqueue.lua`."""
    flags = _flags(message)
    content = layout.pack_body(message)
    if len(names) > 1 or len(content) > layout.INLINE:
        flags |= layout.KEPT_APART
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


def sender_words(submission: Submission, envelope: Envelope) -> list[Word]:
    """The words, behind those of a message, that tell of its label."""
    if envelope.label is None:
        return []
    return [b"w", submission.app, layout.id_bytes(envelope.message.id), envelope.label]


def targets_of(partition: int, partitions: int, names: Sequence[str], reply: Reply) -> list[Target]:
    """Those for whom a message was stored, from the answer of `enqueue.lua`."""
    assert isinstance(reply, list)
    position, log_before = reply[:2]
    targets: list[Target] = []
    for name, place, binding, before in zip(names, reply[2::3], reply[3::3], reply[4::3], strict=True):
        assert isinstance(position, int)
        assert isinstance(log_before, int)
        assert isinstance(place, int)
        assert isinstance(before, int)
        if place >= 0:
            ordinal = place * partitions + partition
            bound = layout.unpack_binding(binding) if isinstance(binding, bytes) else None
            targets.append(Target(name, ordinal, position, bound, before, log_before))
    return targets


def replies(reply: Reply) -> list[Reply]:
    """A reply that is a list, one a message."""
    assert isinstance(reply, list)
    return reply
