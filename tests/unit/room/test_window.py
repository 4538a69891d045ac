"""Every state and move of a window, and a long walk over them beside a small model of a store."""

import ast
import random
from itertools import product
from pathlib import Path

import pytest

from longline.room.session import window as module
from longline.room.session.inflight import InFlight, Inflight
from longline.room.session.window import (
    ASK,
    ASKED,
    ASKED_DOUBTED,
    BEGUN,
    BEHIND,
    BEHIND_DOUBTED,
    CAUGHT_UP,
    CLOSED,
    CURRENT,
    CURRENT_DOUBTED,
    END,
    END_FULL,
    EVENTS,
    FAILED,
    FRESH,
    FRESH_MISSED,
    FULL,
    LATE,
    LEAVE,
    LOOK,
    LOOKED,
    LOST,
    MORE,
    MORE_FULL,
    MOVES,
    NEXT,
    NOTHING,
    OPENED_EMPTY,
    OPENED_PENDING,
    PREPARED,
    READING,
    READING_DOUBTED,
    READING_MISSED,
    REWIND,
    ROOM,
    STATES,
    STOPPED,
    WRITE,
    Window,
)

SOURCE = Path(__file__).parents[3] / "src" / "longline"
ANYTIME = {*module._OFFERED, LOST, LOOKED, ROOM, CLOSED}
BEFORE_READ = {PREPARED, BEGUN, FULL}
DURING_READ = {STOPPED, MORE, MORE_FULL, END, END_FULL, FAILED}
POSSIBLE = {
    FRESH: ANYTIME - {LATE} | {OPENED_EMPTY, OPENED_PENDING},
    FRESH_MISSED: ANYTIME - {LATE} | {OPENED_EMPTY, OPENED_PENDING},
    CURRENT: ANYTIME,
    CURRENT_DOUBTED: ANYTIME,
    BEHIND: ANYTIME,
    BEHIND_DOUBTED: ANYTIME,
    ASKED: ANYTIME | BEFORE_READ,
    ASKED_DOUBTED: ANYTIME | BEFORE_READ,
    READING: ANYTIME | DURING_READ,
    READING_MISSED: ANYTIME | DURING_READ,
    READING_DOUBTED: ANYTIME | DURING_READ,
}
DOUBTED = {CURRENT_DOUBTED, BEHIND_DOUBTED, ASKED_DOUBTED, READING_DOUBTED}
WAITING_TO_BE_READ = {ASKED, ASKED_DOUBTED}
UNDER_WAY = {READING, READING_MISSED, READING_DOUBTED}
EVERY = list(product(range(STATES), range(EVENTS)))


@pytest.mark.parametrize(("state", "event"), EVERY)
def test_the_table_has_a_move_for_what_can_happen_in_a_state_and_for_nothing_else(
    state: int, event: int
) -> None:
    assert ((state, event) in MOVES) == (event in POSSIBLE[state])


@pytest.mark.parametrize(("state", "event"), EVERY)
def test_a_window_makes_exactly_the_moves_of_the_table(state: int, event: int) -> None:
    window = Window(1)
    window.state = state
    if (state, event) in MOVES:
        assert window._move(event) == MOVES[state, event][1]
        assert window.state == MOVES[state, event][0]
    else:
        with pytest.raises(AssertionError):
            window._move(event)
        assert window.state == state


@pytest.mark.parametrize(("state", "event"), sorted(MOVES))
def test_what_a_move_asks_of_the_caller_fits_the_states_on_both_sides(state: int, event: int) -> None:
    after, do = MOVES[state, event]
    if do & WRITE:  # only where everything before was written
        assert (state, event, after) == (CURRENT, NEXT, CURRENT)
    if event in module._OFFERED:  # what is offered is written or left, and what was left is read some time
        assert bool(do & WRITE) != bool(do & LEAVE)
        assert not do & LEAVE or after != CURRENT
    if do & ASK:  # whoever is asked finds a window that waits for it, and is asked once
        assert after in WAITING_TO_BE_READ
        assert state not in WAITING_TO_BE_READ
    assert (after in WAITING_TO_BE_READ and state not in WAITING_TO_BE_READ) == bool(do & ASK)
    if state in DOUBTED:  # a doubt ends with a read from where the store is known, or with the connection
        assert after in DOUBTED or do & REWIND or event == CLOSED
    if event in (LATE, LOST) and state not in (FRESH, FRESH_MISSED):
        assert after in DOUBTED
    if do & CAUGHT_UP:
        assert (state, after) == (READING, CURRENT)
    if after == CURRENT and state != CURRENT:  # reached by a read that saw everything, and by nothing else
        assert (state, event) in {(READING, END), (READING, END_FULL), (FRESH, OPENED_EMPTY)}
    if after == CURRENT_DOUBTED and state != CURRENT_DOUBTED:  # somebody will look
        assert do & LOOK


def test_every_state_is_reached_from_the_first_and_leads_back_to_current() -> None:
    def reach(start: int) -> set[int]:
        seen, new = {start}, [start]
        while new:
            state = new.pop()
            for (before, event), (after, _) in MOVES.items():
                if before == state and event != CLOSED and after not in seen:
                    seen.add(after)
                    new.append(after)
        return seen

    assert reach(FRESH) == set(range(STATES))
    for state in range(STATES):
        assert CURRENT in reach(state)


def test_every_state_has_its_line_in_the_theory() -> None:
    # From the source: a compiled module has no docstring.
    theory = ast.get_docstring(ast.parse((SOURCE / "room/session/window.py").read_text())) or ""
    states = ("FRESH", "FRESH_MISSED", "CURRENT", "BEHIND", "ASKED", "READING", "READING_MISSED", "DOUBTED")
    for state in states:
        assert state in theory


Push = tuple[bool, int]  # broadcast, position


class Walk:
    """A device, a room and a store: every step is one of the things that can happen next.

    The store commits pushes to two lanes with positions from one counter; what centers offer lies in `offers`
    and is taken from there in any order, twice, or is lost, of which the window is told. Receipts are
    committed late. `told`: how often a unicast says what was in the inbox before it; `high`: how often a push
    has high priority.
    """

    def __init__(self, seed: int, told: float = 0.5, high: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.high = high
        self.urgent: set[Push] = set()
        self.latest_of = {False: 0, True: 0}  # likewise, by whether it has high priority
        self.overtook = 0
        self.told = told
        self.window = Window(3)
        self.position = 0
        self.stored: list[Push] = []
        self.acked: set[Push] = set()  # taken by the device; `committed` is what the store knows of that
        self.committed: set[Push] = set()
        self.foreign: set[Push] = set()  # broadcasts that are for others
        self.log_cursor = 0
        self.offers: list[tuple[Push, int, int]] = []
        self.connected = False
        self.blocked = False
        self.identifiers: dict[int, Push] = {}
        self.written: set[Push] = set()  # on this connection
        self.latest = {False: 0, True: 0}  # the latest position of each lane among them
        self.page: tuple[list[Push], list[Push], int, bool] | None = None  # those that go first, the others
        self.prepared = False
        self.look = False
        self.steps = 0
        self.read_again = 0

    # --- the world --------------------------------------------------------------------------------

    def pending(self, broadcast: bool, after: int) -> list[Push]:
        return [
            push
            for push in self.stored
            if push[0] == broadcast and push[1] > after and push not in self.committed
        ]

    def store(self) -> None:
        self.position += self.random.randint(1, 3)
        broadcast = self.random.random() < 0.4
        push = (broadcast, self.position)
        # The centers' word of what comes before: a broadcast always, of a unicast a store may not say.
        before, log_before = 0, max((p for b, p in self.stored if b), default=0)
        if log_before and self.random.random() < 0.2:
            log_before = self.random.randint(log_before, self.position - 1)  # or any later one
        if self.random.random() < self.told:
            before = max((p for b, p in self.stored if not b and (b, p) not in self.committed), default=0)
        self.stored.append(push)
        if self.random.random() < self.high:
            self.urgent.add(push)
        if broadcast and self.random.random() < 0.1:
            self.foreign.add(push)
            self.committed.add(push)
        self.offers.append((push, before, log_before))
        if self.random.random() < 0.1:
            self.offers.append((push, before, log_before))

    def room(self) -> bool:
        return not self.blocked and self.window.free() > 0

    def write(self, push: Push) -> None:
        assert self.connected
        assert push not in self.written, f"{push} was written twice on one connection"
        self.written.add(push)
        broadcast, position = push
        of_high = push in self.urgent
        self.overtook += not of_high and position < self.latest_of[True]
        assert not (broadcast or self.told == 1) or position > self.latest_of[of_high], "it was overtaken"
        self.latest_of[of_high] = max(position, self.latest_of[of_high])
        self.latest[broadcast] = max(position, self.latest[broadcast])
        assert self.window.latest == max(self.latest.values())
        entry = InFlight(self.window, push[1], push[0])
        self.identifiers[self.window.identify(entry)] = push

    def did(self, do: int) -> None:
        if do & LOOK:
            self.look = True

    # --- what can happen --------------------------------------------------------------------------

    def connect(self) -> None:
        self.connected, self.blocked = True, self.random.random() < 0.2
        if self.random.random() < 0.5:  # a session may outlive its connection
            self.window, self.look = Window(3), False
        self.written = set()
        self.latest = {False: 0, True: 0}
        self.latest_of = {False: 0, True: 0}
        self.identifiers = {}
        self.page = None
        self.prepared = False

    def open(self) -> None:
        pending = bool(self.pending(False, 0) or self.pending(True, self.log_cursor))
        self.did(self.window.open(self.log_cursor, pending))

    def offer(self) -> None:
        place = self.random.randrange(len(self.offers)) if self.random.random() < 0.5 else 0
        push, before, log_before = self.offers.pop(place)
        if self.random.random() < 0.3:
            self.offers.append((push, before, log_before))  # it comes once more
        if not self.connected:
            return
        broadcast, position = push
        if push in self.foreign:
            self.window.pass_by(position, log_before)
            return
        do = self.window.offer(position, broadcast, before, log_before, self.room())
        if do & WRITE:
            assert self.room()
            self.write(push)
        self.did(do)

    def lose(self) -> None:
        del self.offers[: self.random.randint(1, len(self.offers))]
        self.resync()

    def resync(self) -> None:
        if self.connected:
            self.did(self.window.lost())

    def acknowledge(self) -> None:
        packet_id = self.random.choice(list(self.identifiers))
        self.acked.add(self.identifiers.pop(packet_id))
        assert self.window.inflight is not None
        self.window.inflight.take(packet_id)
        if self.window.free() * 2 >= self.window.size:  # as the room does: not for every single one
            self.did(self.window.made_room())
        elif self.window.behind():
            self.look = True

    def commit(self) -> None:
        self.committed |= self.acked

    def begin(self) -> None:
        if not self.prepared and self.window.prepare():
            self.read_again += 1
            self.prepared = True
            if self.random.random() < 0.5:
                return  # things happen while receipts are being committed
        if self.prepared:
            self.commit()
            self.prepared = False
        if not self.window.begin():
            return
        window = self.window
        inbox, log = self.pending(False, window.inbox_written), self.pending(True, window.log_written)
        waiting = sorted(inbox + log, key=lambda push: push[1])
        first = [push for push in waiting if push in self.urgent][: window.to_read_ahead()]
        page = waiting[: window.to_read()]
        all_read = len(page) == len(waiting)
        log_after = self.position if all_read else max((p for b, p in page if b), default=window.log_written)
        self.page = (first, page, log_after, all_read)

    def answer(self) -> None:
        assert self.page is not None
        (first, page, log_after, all_read), self.page = self.page, None
        window = self.window
        favoured = window.to_favour()
        for number, (broadcast, position) in enumerate(first + page):
            if number < len(first) and not favoured:
                continue
            if not self.room():
                self.did(window.stop())
                return
            take = window.take_ahead if number < len(first) else window.take
            if take(position, broadcast):
                favoured -= number < len(first)
                self.write((broadcast, position))
            self.block_perhaps()
        do = window.end(log_after, all_read)
        if do & CAUGHT_UP:
            assert not window.waits()
        self.did(do)

    def block_perhaps(self) -> None:
        if self.random.random() < 0.03:
            self.blocked = True

    def block(self) -> None:
        self.blocked = True

    def fail(self) -> None:
        self.page = None
        self.did(self.window.fail())

    def unblock(self) -> None:
        self.blocked = False
        self.did(self.window.made_room())

    def take_turn(self) -> None:
        self.look = False
        self.did(self.window.looked())

    def close(self) -> None:
        # A cursor is saved only with all receipts, and only up to what is not in flight any more.
        self.commit()
        self.log_cursor = max(self.log_cursor, self.window.log_settled())
        for broadcast, position in self.stored:
            if broadcast and position <= self.log_cursor:
                assert (broadcast, position) in self.acked | self.foreign, f"the cursor has passed {position}"
        self.window.close()
        self.connected = False
        self.page = None

    # --- walking ----------------------------------------------------------------------------------

    def possible(self) -> list[str]:
        able = ["store"]
        if not self.connected:
            return [*able, "connect", *(["offer"] if self.offers else [])]
        window = self.window
        able += ["close"] if self.random.random() < 0.05 else []
        able += ["resync"] if self.random.random() < 0.25 else []
        if self.offers:
            able += ["offer"] * 3
            able += ["lose"] if self.random.random() < 0.1 else []
        if self.blocked:
            able.append("unblock")
        if self.look:
            able.append("take_turn")
        if window.fresh():
            return [*able, "open"]
        if self.identifiers:
            able += ["acknowledge"] * 2
        if self.acked - self.committed:
            able.append("commit")
        if window.state in WAITING_TO_BE_READ:
            able += ["begin"] * 2
        if window.state in UNDER_WAY:
            assert self.page is not None
            able += ["answer"] * 3 if self.random.random() < 0.5 else []
            able += ["fail"] if self.random.random() < 0.3 else []
        else:
            able += ["block"] if self.random.random() < 0.1 else []
        return able

    def step(self) -> None:
        what = self.random.choice(self.possible())
        if what == "store" and len(self.stored) - len(self.committed) > 12:
            return
        getattr(self, what)()
        self.steps += 1
        assert self.window.free() >= 0
        assert self.window.inbox_read <= self.window.inbox_written
        assert self.window.log_read <= self.window.log_written
        assert (self.page is not None) == (self.connected and self.window.state in UNDER_WAY)

    def finish(self) -> None:
        """Nothing more is stored; what is on its way comes, the device acknowledges, and then all is over."""
        if not self.connected:
            self.connect()
        for _ in range(10_000):
            if self.blocked:
                self.unblock()
            elif self.window.fresh():
                self.open()
            elif self.window.state in UNDER_WAY:
                self.answer()
            elif self.window.state in WAITING_TO_BE_READ:
                self.begin()
            elif self.look:
                self.take_turn()
            elif self.offers:
                self.offer()
            elif self.identifiers:
                self.acknowledge()
            else:
                break
        self.commit()


@pytest.mark.parametrize("high", [0.0, 0.3])
@pytest.mark.parametrize("told", [0.5, 1.0])
def test_a_walk_of_a_hundred_thousand_moves_loses_nothing_writes_nothing_twice_keeps_the_order_and_ends_empty(
    told: float,
    high: float,
) -> None:
    """A broadcast is behind nothing that is newer, and a unicast behind nothing newer that told of it: in the
    same priority. What has high priority overtakes what waits.
    """
    overtook = 0
    steps = stored = rewound = 0
    seen: set[int] = set()
    for seed in range(200):
        walk = Walk(seed, told, high)
        while walk.steps < 500:
            walk.step()
            seen.add(walk.window.state)
        walk.finish()
        assert walk.window.state == CURRENT
        assert set(walk.stored) == walk.committed, "a push was lost"
        assert walk.window.inflight is None or len(walk.window.inflight) == 0
        assert walk.window.free() == walk.window.size
        assert not walk.identifiers
        steps += walk.steps
        stored += len(walk.stored)
        rewound += walk.read_again
        overtook += walk.overtook
        assert walk.window.ahead is None
    assert steps >= 100_000
    assert (overtook > 100) == (high > 0)
    assert seen == set(range(STATES))
    print(f"{steps} moves, {stored} pushes, {rewound} reads from the start")


def test_the_table_that_says_when_to_write_is_what_keeps_the_order_of_a_lane() -> None:
    window = Window(2)
    assert window.open(0, False) == NOTHING
    assert window.offer(5, False, 0, 0, True) == WRITE
    assert window.offer(9, False, 7, 0, True) == LEAVE | ASK  # 7 is not here yet
    assert window.state == ASKED
    assert not window.prepare()
    assert window.begin()
    assert [window.take(position, False) for position in (7, 9)] == [True, True]
    assert window.end(0, True) == CAUGHT_UP
    assert window.offer(9, False, 7, 0, True) == LEAVE | ASK  # not in flight: only the store knows of it
    assert window.state == ASKED_DOUBTED


@pytest.mark.parametrize("broadcast", [False, True])
def test_what_is_offered_before_the_broadcast_that_precedes_it_is_read_with_it_in_order(
    broadcast: bool,
) -> None:
    window = Window(4)
    assert window.open(0, False) == NOTHING
    assert window.offer(9, broadcast, 0, 7, True) == LEAVE | ASK
    assert not window.prepare()
    assert window.begin()
    assert window.take(7, True)
    assert window.take(9, broadcast)
    assert window.end(7, True) == CAUGHT_UP
    assert window.offer(7, True, 0, 0, True) == NOTHING  # it comes at last
    assert window.offer(12, broadcast, 0, 9 if broadcast else 7, True) == WRITE


def test_a_broadcast_that_is_for_others_holds_nothing_up() -> None:
    window = Window(4)
    assert window.open(0, False) == NOTHING
    window.pass_by(7, 0)
    assert window.offer(8, False, 0, 7, True) == WRITE
    window.pass_by(12, 9)  # 9 is not here yet: whether it is for this device nobody has said
    assert window.offer(13, False, 8, 12, True) == LEAVE | ASK


def test_an_identifier_in_use_is_not_given_again_and_the_count_starts_over_at_its_end() -> None:
    inflight = Inflight()
    entry = InFlight(inflight, 1, False)
    assert [inflight.add(entry) for _ in range(3)] == [1, 2, 3]
    assert inflight.take(2) is entry
    inflight._latest = 65_535
    assert [inflight.add(None) for _ in range(2)] == [2, 4]
    assert len(inflight) == 4
    with pytest.raises(KeyError):
        inflight.take(9)


def test_two_windows_on_one_connection_share_identifiers_and_know_their_own_pushes() -> None:
    mine, other = Window(4), Window(4)
    other.inflight = mine.inflight = Inflight()
    first = mine.identify(InFlight(mine, 10, True))
    second = other.identify(InFlight(other, 20, True))
    assert first != second
    assert mine.free() == other.free() == 2
    assert mine.inflight.of(mine) == {(10, True)}
    assert mine.inflight.first_broadcast(other) == 20
    third = other.identify(InFlight(other, 30, False))
    assert third not in (first, second)
    assert not mine.knows(30)
    assert other.knows(30)


def behind_window(size: int) -> Window:
    """One whose read is under way from the beginning."""
    window = Window(size)
    window.open(0, True)
    window.prepare()
    assert window.begin()
    return window


@pytest.mark.parametrize("broadcast", [False, True])
def test_what_was_written_ahead_and_is_over_before_its_turn_is_known_when_it_is_offered_late(
    broadcast: bool,
) -> None:
    """The store has it no more when its turn comes, and so nobody could say that it was written."""
    window = behind_window(4)
    assert window.take_ahead(50, broadcast)
    assert window.take(10, False)
    window.end(0, False)  # by the next read it is acknowledged
    window.prepare()
    assert window.begin()
    assert window.take(20, False)
    assert window.end(0, True) & CAUGHT_UP
    assert window.offer(50, broadcast, 0, 0, True) == NOTHING
    assert window.offer(60, broadcast, 0, 0, True) & WRITE


def test_what_was_written_ahead_is_left_out_when_its_turn_comes_and_when_it_is_read_ahead_again() -> None:
    window = behind_window(4)
    assert window.take_ahead(50, False)
    assert not window.take_ahead(50, False)
    assert window.take(10, False)
    assert not window.take(50, False)
    assert window.inbox_written == window.inbox_read == 50


@pytest.mark.parametrize(("size", "first"), [(1, 1), (2, 2), (3, 3), (4, 3), (100, 75)])
def test_others_are_not_starved_by_what_is_written_ahead(size: int, first: int) -> None:
    """They have a quarter of the room, and where that is nothing, every other read."""
    window = behind_window(size)
    assert window.to_favour() == first
    assert window.take_ahead(50, False)
    assert window.to_favour() == 0
    assert window.take(10, False)
    assert window.to_favour() == first


def test_what_was_acknowledged_of_what_was_written_ahead_is_not_remembered_for_ever() -> None:
    """Who has much of it has receipts committed, and knows from then on only what is in flight."""
    window = behind_window(1000)
    for position in range(1000, 1000 + module.MOST_AHEAD):
        assert window.take_ahead(position, False)
    window.identify(InFlight(window, 1000, False))
    window.end(0, False)
    assert window.prepare()
    assert window.begin()
    assert window.ahead is not None
    assert window.ahead.pushes == {(1000, False)}
