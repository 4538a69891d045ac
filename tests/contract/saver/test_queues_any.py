"""Any sequence of operations leaves every session's filters and queue as a simple model says."""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
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

from longline.model.pubsub import Filter, Publication
from longline.saver.port.queues import Complete, Declined, Given, QueuePublication, Settle, Step
from longline.saver.port.sessions import FOREVER, RemoveFilter
from tests.contract.engines import QUEUE_MESSAGES, SaverEngine
from tests.contract.saver.kept import Kept, Session
from tests.contract.saver.topics import matches
from tests.contract.store_fixture import MINUTE, StoreFixture

T = TypeVar("T")

NAMES = ("a", "b", "c")
TOPICS = ("x", "x/y", "x/", "$x", "y/x/y")
FILTERS = ("#", "+", "x", "x/#", "x/+", "+/y", "$x", "+/x/#", "x/y")
some_name = st.sampled_from(NAMES)
some_filter = st.builds(
    Filter,
    filter=st.sampled_from(FILTERS),
    qos=st.integers(0, 2),
    no_local=st.booleans(),
    as_published=st.booleans(),
    identifier=st.sampled_from([0, 1, 2]),
)
some_message = st.tuples(
    st.sampled_from(TOPICS),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from([0, 0, MINUTE, 3 * MINUTE]),
    st.none() | st.tuples(some_name, st.integers(1, 2)),
    st.lists(
        st.tuples(some_name, st.integers(1, 2), st.booleans(), st.sampled_from([0, 3])), max_size=3
    ),  # whom groups give it
    st.booleans(),  # or to them alone
)
Some = tuple[str, int, bool, int, tuple[str, int] | None, list[tuple[str, int, bool, int]], bool]


@dataclass
class Waiting:
    """A message in a queue as the model knows it; `released`: without its body."""

    publication: Publication
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    released: bool = False


@dataclass
class Model:
    """A session as the model knows it."""

    session: Session
    expires_in: int
    ends_at: int | None = None  # None: it is connected
    filters: dict[str, Filter] = field(default_factory=dict)
    queue: dict[int, Waiting] = field(default_factory=dict)
    latest: int = 0
    sent: int = 0
    received: dict[int, str] = field(default_factory=dict)


class Queues(RuleBasedStateMachine):
    engine: ClassVar[SaverEngine]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.runner = self.stack.enter_context(asyncio.Runner())
        directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        place = self.stack.enter_context(self.engine.place(Path(directory)))
        self.store = StoreFixture(self.engine, place)
        self.kept = Kept(self.store)
        self.do(self.store.open())
        self.do(self.store.begin())
        self.models: dict[str, Model] = {}

    def do(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.do(self.store.close())
        self.stack.close()

    def alive(self, name: str) -> Model | None:
        model = self.models.get(name)
        if model is None or (model.ends_at is not None and model.ends_at <= self.store.now):
            return None
        return model

    # --- sessions ---

    @rule(name=some_name, clean=st.booleans(), expires_in=st.sampled_from([0, 60, FOREVER]))
    def a_client_connects(self, name: str, clean: bool, expires_in: int) -> None:
        before = self.alive(name)
        session = self.do(self.kept.open(name, clean=clean, expires_in=expires_in))
        model = Model(session, expires_in)
        if before is not None and not clean and before.expires_in:
            model.filters, model.queue, model.received = before.filters, before.queue, before.received
            model.latest = before.latest
            model.sent = before.latest if before.ends_at is None else before.sent
            assert session.number == before.session.number
            assert session.opened.present
        else:
            assert session.number == session.epoch
            assert not session.opened.present
        self.models[name] = model

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def a_client_goes(self, data: st.DataObject) -> None:
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        assert self.do(self.kept.close(model.session))
        if model.ends_at is None:
            model.ends_at = self.store.now + model.expires_in * 1000

    @precondition(lambda self: self.models)
    @rule(data=st.data(), filters=st.lists(some_filter, min_size=1, max_size=3))
    def a_client_subscribes(self, data: st.DataObject, filters: list[Filter]) -> None:
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        if model.ends_at is not None:  # then nobody is there to ask for it
            return
        asked = [
            self.kept.subscription(
                model.session,
                item.filter,
                item.qos,
                no_local=item.no_local,
                as_published=item.as_published,
                identifier=item.identifier,
            )
            for item in filters
        ]
        had = []
        for item in filters:
            had.append(item.filter in model.filters)
            model.filters[item.filter] = item
        assert self.do(self.kept.sessions.subscribe(asked)) == had
        assert self.do(self.kept.sessions.wanted([self.store.app])) == [True]

    @precondition(lambda self: self.models)
    @rule(data=st.data(), filters=st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3))
    def a_client_unsubscribes(self, data: st.DataObject, filters: list[str]) -> None:
        model = self.models[data.draw(st.sampled_from(sorted(self.models)))]
        if model.ends_at is not None:
            return
        session = model.session
        asked = [
            RemoveFilter(self.store.app, session.ordinal, session.number, session.epoch, filter)
            for filter in filters
        ]
        had = [model.filters.pop(filter, None) is not None for filter in filters]
        assert self.do(self.kept.sessions.unsubscribe(asked)) == had

    # --- messages ---

    @rule(messages=st.lists(some_message, min_size=1, max_size=4), sender=st.none() | some_name)
    def messages_are_published(
        self,
        messages: list[Some],
        sender: str | None,
    ) -> None:
        batch, expected = [], []
        for topic, qos, retain, ttl, source, chosen, matching in messages:
            publication = self.kept.publication(topic, qos=qos, retain=retain, ttl=ttl)
            model = self.alive(source[0]) if source is not None else None
            received = None
            if source is not None and model is not None:
                received = self.kept.received(model.session, source[1])
            given = [
                Given(known.session.ordinal, known.session.number, asked, as_published, identifier)
                for name, asked, as_published, identifier in chosen
                if (known := self.models.get(name)) is not None
            ]
            batch.append(
                QueuePublication(
                    *(self.store.app, publication, self.store.now, sender, received, tuple(given), matching)
                )
            )
            packet_id = source[1] if source is not None else 0
            expected.append(self._publish(publication, sender, model, packet_id, chosen, matching))
        answers = self.do(self.kept.queues.publish(batch))
        for answer, (id, queued, full, again) in zip(answers, expected, strict=True):
            assert not isinstance(answer, Declined)
            assert (answer.id, sorted((entry.device, entry.place) for entry in answer.queued)) == (id, queued)
            assert (answer.full, answer.again) == (full, again)

    def _publish(
        self,
        publication: Publication,
        sender: str | None,
        source: Model | None,
        packet_id: int,
        given: list[tuple[str, int, bool, int]],
        matching: bool,
    ) -> tuple[str, list[tuple[str, int]], int, bool]:
        if source is not None:
            known = source.received.get(packet_id)
            if known is not None:
                return known, [], 0, True
            source.received[packet_id] = publication.id
        asked: list[tuple[str, list[Filter]]] = [
            (name, [Filter("$share/g/x", qos, as_published=as_published, identifier=identifier)])
            for name, qos, as_published, identifier in given
        ]
        for name, model in self.models.items() if matching else ():
            found = [
                item
                for item in model.filters.values()
                if matches(item.filter, publication.topic) and not (item.no_local and sender == name)
            ]
            asked.append((name, found))
        queued, full = [], 0
        for name, filters in asked:
            alive = self.alive(name)
            qos = min(publication.qos, max((item.qos for item in filters), default=0))
            if alive is None or not qos:
                continue
            model = alive
            if len(model.queue) >= QUEUE_MESSAGES:
                full += 1
                continue
            model.latest += 1
            model.queue[model.latest] = Waiting(
                publication,
                qos,
                publication.retain and any(item.as_published for item in filters),
                tuple(sorted(item.identifier for item in filters if item.identifier)),
            )
            queued.append((name, model.latest))
        return publication.id, sorted(queued), full, False

    @precondition(lambda self: any(model.latest for model in self.models.values()))
    @rule(data=st.data())
    def steps_are_taken(self, data: st.DataObject) -> None:
        steps = []
        for _ in range(data.draw(st.integers(1, 4))):
            model = data.draw(st.sampled_from([model for model in self.models.values() if model.latest]))
            place = data.draw(st.integers(1, model.latest))
            step = data.draw(st.sampled_from(Step))
            session = model.session
            steps.append(Settle(self.store.app, session.ordinal, session.number, place, step))
            if step == Step.SENT:
                model.sent = max(model.sent, place)
            elif step == Step.SETTLED:
                model.queue.pop(place, None)
            elif place in model.queue:
                model.queue[place].released = True
        self.do(self.kept.queues.settle(steps))

    @precondition(lambda self: any(model.received for model in self.models.values()))
    @rule(data=st.data())
    def an_identifier_is_completed(self, data: st.DataObject) -> None:
        model = data.draw(st.sampled_from([model for model in self.models.values() if model.received]))
        packet_id = data.draw(st.sampled_from(sorted(model.received)))
        del model.received[packet_id]
        session = model.session
        self.do(
            self.kept.queues.complete([Complete(self.store.app, session.ordinal, session.number, packet_id)])
        )

    # --- time ---

    @rule(ms=st.sampled_from([0, MINUTE - 1, MINUTE, 3 * MINUTE]), restart=st.booleans())
    def time_passes(self, ms: int, restart: bool) -> None:
        self.store.now += ms
        if restart:
            self.do(self.store.reopen())
        self.do(self.kept.clear())
        for name, model in list(self.models.items()):
            if self.alive(name) is None:
                del self.models[name]
            model.queue = {
                place: waiting
                for place, waiting in model.queue.items()
                if waiting.released or not self.over(waiting)
            }

    def over(self, waiting: Waiting) -> bool:
        return 0 < waiting.publication.expires_at <= self.store.now

    # --- what must hold ---

    @invariant()
    def every_session_has_what_the_model_says(self) -> None:
        for name, model in self.models.items():
            if self.alive(name) is None:
                assert self.do(self.kept.entries(model.session)) == []
                continue
            found = self.do(self.kept.entries(model.session))
            assert [
                (entry.place, entry.publication, entry.qos, entry.retain, entry.identifiers)
                for entry in found
            ] == [
                (place, waiting.publication, waiting.qos, waiting.retain, waiting.identifiers)
                for place, waiting in sorted(model.queue.items())
                if not waiting.released
            ]
            if model.ends_at is not None:
                continue
            told = self.do(self.kept.again(model.session))
            assert {item.filter: item for item in told.filters} == model.filters
            assert told.released == tuple(
                sorted(place for place, waiting in model.queue.items() if waiting.released)
            )
            assert told.received == tuple(sorted(model.received))
            assert (told.sent, told.latest) == (model.sent, model.latest)
            assert told.queued == min(
                (place for place, waiting in model.queue.items() if not waiting.released), default=0
            )


def check_any_sequence(engine: SaverEngine, examples: int, machine: type[Queues] = Queues) -> None:
    class OnEngine(machine):  # type: ignore[valid-type, misc]
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


def test_any_sequence_of_operations_leaves_the_queues_as_the_model_says(saver_engine: SaverEngine) -> None:
    check_any_sequence(saver_engine, examples=25)
