"""Any sequence of operations leaves every ledger and every inbox as a simple model says."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from longline.model.audience import Devices, Everyone
from longline.model.commands import Broadcast, Unicast
from longline.model.ledger import Ledger, State
from longline.model.messages import Envelope
from longline.saver.port.inboxes import Receipt
from longline.saver.port.ledgers import MessagesAsked
from longline.saver.port.messages import Accepted, Outcome, Refused
from tests.contract.engines import RETENTION, SaverEngine
from tests.contract.saver.positions import position_of
from tests.contract.store_fixture import MINUTE, StoreFixture

T = TypeVar("T")

NAMES = [f"d{n}" for n in range(6)]
some_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map(tuple)
some_key = st.sampled_from([None, None, "k", "l"])
some_ttl = st.sampled_from([MINUTE, 2 * MINUTE, 10 * MINUTE])


@dataclass
class Sent:
    """A message as the model knows it: where it stands for each ordinal of its audience."""

    message_id: str
    text: str
    route: Unicast | Broadcast
    broadcast: bool
    online_only: bool
    collapse: str | None
    expires_at: int
    missing: int
    states: dict[int, str]
    written: set[int]

    def settle(self, ordinal: int, state: str) -> None:
        if self.states.get(ordinal) == "pending":
            self.states[ordinal] = state


class Ledgers(RuleBasedStateMachine):
    engine: ClassVar[SaverEngine]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.runner = self.stack.enter_context(asyncio.Runner())
        directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        place = self.stack.enter_context(self.engine.place(Path(directory)))
        self.store = StoreFixture(self.engine, place)
        self.do(self.store.open())
        self.do(self.store.begin())
        self.ordinals: dict[str, int] = {}
        self.sent: list[Sent] = []

    def do(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.do(self.store.close())
        self.stack.close()

    # --- devices ---

    @rule(name=st.sampled_from(NAMES))
    def a_device_comes(self, name: str) -> None:
        ordinal = self.do(self.store.arrive(name)).ordinal
        assert self.ordinals.setdefault(name, ordinal) == ordinal

    @rule(name=st.sampled_from(NAMES))
    def a_device_is_deleted(self, name: str) -> None:
        known = self.ordinals.pop(name, None)
        assert self.do(self.store.saver.devices.delete(self.store.app, name, self.store.now)) == (
            known is not None
        )
        for sent in self.sent:
            # What is for who is online only, and not to everyone, ends by itself within seconds.
            if known is not None and (sent.broadcast or not sent.online_only):
                sent.settle(known, "device_deleted")

    # --- sending ---

    @rule(
        audiences=st.lists(some_names | st.none(), min_size=1, max_size=3),
        key=some_key,
        ttl=some_ttl,
        online_only=st.booleans(),
        together=st.booleans(),
    )
    def messages_are_sent(
        self,
        audiences: list[tuple[str, ...] | None],
        key: str | None,
        ttl: int,
        online_only: bool,
        together: bool,
    ) -> None:
        """In one request, or in several that arrive at the same time, whose order each partition decides."""
        envelopes = [
            Envelope(
                self.store.message(str(n), ttl=ttl, collapse=key, online_only=online_only),
                Everyone() if names is None else Devices(names),
            )
            for n, names in enumerate(audiences)
        ]
        outcomes = self.do(self._submit(envelopes, together))
        results = [result for outcome in outcomes for result in outcome.results]
        routes = iter([route for outcome in outcomes for route in outcome.routes])
        stored: list[Sent] = []
        for envelope, names, result in zip(envelopes, audiences, results, strict=True):
            known = (
                self.ordinals if names is None else {n: self.ordinals[n] for n in names if n in self.ordinals}
            )
            if not known:
                assert result == Refused("no_target")
                continue
            missing = 0 if names is None else len(names) - len(known)
            assert result == Accepted(envelope.message.id, len(known) + missing)
            route = next(routes)
            stored.append(
                Sent(
                    message_id=envelope.message.id,
                    text=envelope.message.payload.decode(),
                    route=route,
                    broadcast=names is None,
                    online_only=online_only,
                    collapse=key,
                    expires_at=envelope.message.expires_at,
                    missing=missing,
                    states=dict.fromkeys(known.values(), "pending"),
                    written=set(),
                )
            )
        assert next(routes, None) is None
        for ordinal in self.ordinals.values():
            mine = [sent for sent in stored if ordinal in sent.states]
            in_order = sorted(mine, key=lambda sent: position_of(sent.route, ordinal))
            assert in_order == mine or not together, "the messages of one request are stored in their order"
            if key is not None and not online_only:
                for newest in range(len(in_order)):
                    for old in (*self.sent, *in_order[:newest]):
                        if old.collapse == key and not old.online_only:
                            old.settle(ordinal, "collapsed")
        self.sent += stored

    async def _submit(self, envelopes: list[Envelope], together: bool) -> list[Outcome]:
        requests = [tuple(envelopes)] if together else [(envelope,) for envelope in envelopes]
        answers = await asyncio.gather(
            *(self.store.submit(self.store.submission(*request)) for request in requests)
        )
        return [outcome for (outcome,) in answers if isinstance(outcome, Outcome)]

    # --- settling ---

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), state=st.sampled_from(State), written=st.booleans())
    def a_receipt_comes(self, data: st.DataObject, state: State, written: bool) -> None:
        receipts = []
        for _ in range(data.draw(st.integers(1, 4))):
            sent = data.draw(st.sampled_from(self.sent))
            # Anybody may speak of a broadcast; only who is spoken to knows the position of a unicast.
            anybody = st.integers(0, 8)
            ordinal = data.draw(anybody if sent.broadcast else st.sampled_from(sorted(sent.states)))
            sent_at = self.store.now if written or state == State.PENDING else 0
            receipts.append(
                Receipt(
                    self.store.app,
                    ordinal,
                    position_of(sent.route, ordinal),
                    sent.broadcast,
                    state,
                    self.store.now,
                    sent_at,
                    "why" if state == State.DROPPED else None,
                    message_id=sent.message_id,
                )
            )
            if ordinal in sent.states:
                if sent_at:
                    sent.written.add(ordinal)
                if state == State.ACKED:
                    sent.states[ordinal] = "acked"  # what a device took it took, whatever was said before
                elif state != State.PENDING:
                    sent.settle(ordinal, "why" if state == State.DROPPED else state.name.lower())
        self.do(self.store.saver.inboxes.settle(receipts))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_message_is_cancelled(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from(self.sent))
        assert self.do(self.store.saver.messages.cancel(self.store.app, sent.message_id, self.store.now))
        for ordinal in sent.states:
            sent.settle(ordinal, "cancelled")

    @precondition(lambda self: any(sent.broadcast and sent.online_only for sent in self.sent))
    @rule(data=st.data())
    def all_nodes_are_done_with_a_broadcast(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from([s for s in self.sent if s.broadcast and s.online_only]))
        nodes = [f"{sent.message_id}-{n}" for n in range(data.draw(st.integers(1, 2)))]
        self.do(self.store.saver.routing.assign(self.store.app, sent.message_id, nodes))
        for node in nodes:
            self.do(self.store.saver.routing.finish(self.store.app, sent.message_id, node, self.store.now))
        for ordinal in sent.states.keys() - sent.written:
            sent.settle(ordinal, "offline")

    # --- time ---

    @rule(
        ms=st.sampled_from([0, 1, MINUTE - 1, MINUTE, 5 * MINUTE, RETENTION]),
        limit=st.sampled_from([1, 1000]),
    )
    def time_passes(self, ms: int, limit: int) -> None:
        self.store.now += ms
        while self.do(self.store.saver.expiry.end(self.store.now, limit)):
            pass
        for sent in self.sent:
            if sent.expires_at <= self.store.now:
                for ordinal in sent.states:
                    offline = sent.online_only and ordinal not in sent.written
                    sent.settle(ordinal, "offline" if offline else "expired")
        self.sent = [sent for sent in self.sent if sent.expires_at + RETENTION > self.store.now]

    @rule()
    def the_store_is_restarted(self) -> None:
        self.do(self.store.reopen())

    # --- what must hold ---

    @invariant()
    def every_ledger_balances_and_says_what_the_model_says(self) -> None:
        for sent in self.sent:
            counts = Counter(sent.states.values())
            ledger = self.do(self.store.ledger(sent.message_id))
            dropped = {
                reason: n
                for reason, n in {**counts, "device_not_found": sent.missing}.items()
                if n and reason not in ("pending", "acked", "expired", "collapsed")
            }
            assert (ledger.pending, ledger.acked, ledger.expired, ledger.collapsed, dict(ledger.dropped)) == (
                counts["pending"],
                counts["acked"],
                counts["expired"],
                counts["collapsed"],
                dropped,
            )

    @rule(limit=st.sampled_from([1, 3, 100]))
    def the_lists_say_what_the_model_says(self, limit: int) -> None:
        """That of the app, and that of each device, for all messages whose ledgers are kept."""
        of_app: dict[str, Ledger] = {}
        before: str | None = None
        while True:
            page = self.do(
                self.store.saver.ledgers.latest(self.store.app, MessagesAsked(before=before, limit=limit))
            )
            of_app |= {each.message_id: each.ledger for each in page.messages}
            before = page.rest
            if before is None:
                break
        known = [sent.message_id for sent in self.sent]
        assert list(of_app) == sorted(known, reverse=True)
        for message_id, ledger in of_app.items():
            assert ledger == self.do(self.store.ledger(message_id))
        for ordinal in self.ordinals.values():
            states = {sent.message_id: sent.states[ordinal] for sent in self.sent if ordinal in sent.states}
            waiting = {
                sent.message_id
                for sent in self.sent
                if sent.states.get(ordinal) == "pending" and not sent.online_only
            }
            assert self._of_device(ordinal, limit, waiting=False) == states
            assert set(self._of_device(ordinal, limit, waiting=True)) == waiting

    def _of_device(self, ordinal: int, limit: int, *, waiting: bool) -> dict[str, str]:
        found: dict[str, str] = {}
        before: str | None = None
        while True:
            page = self.do(
                self.store.saver.ledgers.of_device(self.store.app, ordinal, before, limit, waiting=waiting)
            )
            for each in page.messages:
                assert each.message_id not in found
                found[each.message_id] = each.reason or each.state.name.lower()
            before = page.rest
            if before is None:
                return found

    @invariant()
    def every_device_is_given_what_waits_for_it(self) -> None:
        for name, ordinal in self.ordinals.items():
            expected = sorted(
                (position_of(sent.route, ordinal), sent.message_id)
                for sent in self.sent
                if sent.states.get(ordinal) == "pending"
                and not sent.online_only
                and sent.expires_at > self.store.now
            )
            page = self.do(self.store.page(name))
            assert [(push.position, push.message.id) for push in page.pushes] == expected
            assert self.do(self.store.pending(name)) == len(expected)


def check_any_sequence(engine: SaverEngine, examples: int) -> None:
    class OnEngine(Ledgers):
        pass

    OnEngine.engine = engine
    run_state_machine_as_test(
        OnEngine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_any_sequence_of_operations_leaves_the_ledgers_balanced(saver_engine: SaverEngine) -> None:
    check_any_sequence(saver_engine, examples=25)
