"""How far a device has got with its pushes, and every move from there.

The store is the queue: it has every push that is pending for the device, in two lanes, the *inbox* (unicasts)
and the *log* (broadcasts). Both have their positions from one counter, which rises as the store commits: so
there is one order, and the device is to get everything in it. Nothing is queued here. A push reaches the
connection in one of two ways: a center tells the room of it right after the commit (it is *offered*), which
is fast and may come late, twice, out of order or never; or the room *reads* the store, which is slow and
whole, and in order over both lanes.

Of each lane the window keeps two positions:

    written   the latest push that was written to the connection, whichever way it came;
    read      up to here the store itself was read without a gap: nothing pending before it is unknown here.

What is offered says what was stored before it: the broadcast before it, and the unicast before it where that
may be lost or late. While one of these was not written yet, it is *early*:
it is left, and read in its turn with what is missing. So of the log everything at or before `written` was
written, and whatever is offered there came again.

Of the inbox that cannot be said, for there what comes before may be left unsaid. A
unicast at or before `read`, or in flight, is known: it came again. Between `read` and `written` lies what was
offered. One that comes behind what was stored after it is *late*: the positions cannot tell whether it was
written and acknowledged already or overtaken, so the store has to say. That is *doubt*, and is resolved by
one read that begins at `read` again, once all receipts are committed, and leaves out what is in flight on
this connection. What was acknowledged does not come up in it, so at its end, where all is known, `written` is
at least where it was before (`Rewound` remembers both).

What is only for who can take it now stands in no lane, and nobody can read it. It is written in CURRENT, and
not behind anything that was stored after it: `latest` is the latest position that was written, of whatever
kind.

A push of high priority overtakes what waits: a read brings those that wait anywhere behind the positions,
and they are written *ahead*, before the others of the page. The positions say nothing of these. They pass
them in their turn, as they pass all that is in the store, and what was written ahead is left out then
(`Ahead` remembers it); what was acknowledged by then does not come up. When all is read the positions are at
least where the latest of them is: all that was stored before it was read, or is pending no more. So that
others are not starved, those written ahead get three quarters of the room at most, and where that is all
there is, every other read.

A window is in one of these states. A twin that is DOUBTED is as the other, but its next read begins at
`read`:

    FRESH            the store was not asked yet what waits;
    FRESH_MISSED     nor since something was offered;
    CURRENT          nothing is pending behind the positions: what is offered in order is written at once;
    BEHIND           more is pending, or may be, and the client has no room, or was not asked again yet;
    ASKED            whoever reads the store is to read it for this window;
    READING          the answer is on its way;
    READING_MISSED   and something was offered that it may not have seen.

`MOVES` has, for each state and event, the next state and what the caller has to do. What is not in it cannot
happen (`test_window.py` walks all of it). What makes it right, in short: WRITE is only answered in CURRENT,
where everything before was written; only the end of a read that saw everything, during which nothing was
offered and nothing doubted, leads back to CURRENT; every other state is left by a read or by `made_room`, and
whoever has more pending gets room by acknowledging; a read that fails is asked for again.
"""

from typing import Final, final

from longline.room.session.inflight import InFlight, Inflight

# --- states -------------------------------------------------------------------------------------------

FRESH: Final = 0
FRESH_MISSED: Final = 1
CURRENT: Final = 2
CURRENT_DOUBTED: Final = 3
BEHIND: Final = 4
BEHIND_DOUBTED: Final = 5
ASKED: Final = 6
ASKED_DOUBTED: Final = 7
READING: Final = 8
READING_MISSED: Final = 9
READING_DOUBTED: Final = 10
STATES: Final = 11

# --- events -------------------------------------------------------------------------------------------

OPENED_EMPTY: Final = 0  # the store was asked for the first time, and nothing is pending
OPENED_PENDING: Final = 1  # or something is
NEXT: Final = 2  # a push is offered that comes after what was written, and the client has room for it
NEXT_FULL: Final = 3  # the same, and it has none
EARLY: Final = 4  # one before which the store put another that was not written yet
LATE: Final = 5  # a unicast at or before what was written that is not known
LOST: Final = 6  # something that was to be offered may have been lost
LOOKED: Final = 7  # it is this window's turn among all that have lost something, or have a little room
ROOM: Final = 8  # the client has much room again
PREPARED: Final = 9  # its read is about to begin, as soon as all receipts are committed
BEGUN: Final = 10  # the read has begun
FULL: Final = 11  # it does not begin, for the client has no room
STOPPED: Final = 12  # not all of what was read could be written
MORE: Final = 13  # all of it was, there is more in the store, and the client has room
MORE_FULL: Final = MORE + 1  # and it has none
END: Final = 15  # all of it was, it was all there is, and the client has room
END_FULL: Final = END + 1  # and it has none
FAILED: Final = 17  # the store did not answer
CLOSED: Final = 18  # the connection is gone
EVENTS: Final = 19

# --- what the caller does -----------------------------------------------------------------------------

NOTHING: Final = 0
WRITE: Final = 1  # write the push now
LEAVE: Final = 2  # leave it in the store
ASK: Final = 4  # have the store read for this window
LOOK: Final = 8  # the same, in its turn behind those that have to be read for
REWIND: Final = 16  # (done here) the read begins where the store was read without a gap
CAUGHT_UP: Final = 32  # nothing waits any more: the window is free for other messages

Move = tuple[int, int]

_OFFERED: Final = (NEXT, NEXT_FULL, EARLY, LATE)
_FIRST: Final = (NEXT, NEXT_FULL, EARLY)  # nothing is behind what was written before anything was


def _moves() -> dict[tuple[int, int], Move]:
    moves: dict[tuple[int, int], Move] = {}

    def row(state: int, events: dict[int, Move]) -> None:
        for event, move in events.items():
            moves[state, event] = move
        moves[state, CLOSED] = (FRESH, NOTHING)

    def offered(move: Move) -> dict[int, Move]:
        return dict.fromkeys(_OFFERED, move)

    again = (ASKED_DOUBTED, ASK)
    row(
        FRESH,
        {
            **dict.fromkeys(_FIRST, (FRESH_MISSED, LEAVE)),
            LOST: (FRESH_MISSED, NOTHING),
            LOOKED: (FRESH, NOTHING),
            ROOM: (FRESH, NOTHING),
            OPENED_EMPTY: (CURRENT, NOTHING),
            # What the session before this one acknowledged may not be committed yet, and must not come again.
            OPENED_PENDING: again,
        },
    )
    row(
        FRESH_MISSED,
        {
            **dict.fromkeys(_FIRST, (FRESH_MISSED, LEAVE)),
            LOST: (FRESH_MISSED, NOTHING),
            LOOKED: (FRESH_MISSED, NOTHING),
            ROOM: (FRESH_MISSED, NOTHING),
            OPENED_EMPTY: again,
            OPENED_PENDING: again,
        },
    )
    row(
        CURRENT,
        {
            NEXT: (CURRENT, WRITE),
            NEXT_FULL: (BEHIND, LEAVE),
            EARLY: (ASKED, LEAVE | ASK),
            LATE: (ASKED_DOUBTED, LEAVE | ASK),
            LOST: (CURRENT_DOUBTED, LOOK),
            LOOKED: (CURRENT, NOTHING),
            ROOM: (CURRENT, NOTHING),
        },
    )
    row(
        CURRENT_DOUBTED,
        {
            **offered((ASKED_DOUBTED, LEAVE | ASK)),
            LOST: (CURRENT_DOUBTED, NOTHING),
            LOOKED: again,
            ROOM: (CURRENT_DOUBTED, NOTHING),
        },
    )
    row(
        BEHIND,
        {
            **offered((BEHIND, LEAVE)),
            LATE: (ASKED_DOUBTED, LEAVE | ASK),
            LOST: (BEHIND_DOUBTED, LOOK),
            LOOKED: (ASKED, ASK),
            ROOM: (ASKED, ASK),
        },
    )
    row(
        BEHIND_DOUBTED,
        {
            **offered((ASKED_DOUBTED, LEAVE | ASK)),
            LOST: (BEHIND_DOUBTED, NOTHING),
            LOOKED: again,
            ROOM: again,
        },
    )
    row(
        ASKED,
        {
            **offered((ASKED, LEAVE)),
            LATE: (ASKED_DOUBTED, LEAVE),
            LOST: (ASKED_DOUBTED, NOTHING),
            LOOKED: (ASKED, NOTHING),
            ROOM: (ASKED, NOTHING),
            PREPARED: (ASKED, NOTHING),
            BEGUN: (READING, NOTHING),
            FULL: (BEHIND, NOTHING),
        },
    )
    row(
        ASKED_DOUBTED,
        {
            **offered((ASKED_DOUBTED, LEAVE)),
            LOST: (ASKED_DOUBTED, NOTHING),
            LOOKED: (ASKED_DOUBTED, NOTHING),
            ROOM: (ASKED_DOUBTED, NOTHING),
            PREPARED: (ASKED, REWIND),
            # The doubt came while receipts were being committed: this read goes on, and another follows.
            BEGUN: (READING_DOUBTED, NOTHING),
            FULL: (BEHIND_DOUBTED, NOTHING),
        },
    )
    row(
        READING,
        {
            **offered((READING_MISSED, LEAVE)),
            LATE: (READING_DOUBTED, LEAVE),
            LOST: (READING_DOUBTED, NOTHING),
            LOOKED: (READING, NOTHING),
            ROOM: (READING, NOTHING),
            STOPPED: (BEHIND, NOTHING),
            MORE: (ASKED, ASK),
            MORE_FULL: (BEHIND, NOTHING),
            END: (CURRENT, CAUGHT_UP),
            END_FULL: (CURRENT, CAUGHT_UP),
            FAILED: (ASKED, ASK),
        },
    )
    row(
        READING_MISSED,
        {
            **offered((READING_MISSED, LEAVE)),
            LATE: (READING_DOUBTED, LEAVE),
            LOST: (READING_DOUBTED, NOTHING),
            LOOKED: (READING_MISSED, NOTHING),
            ROOM: (READING_MISSED, NOTHING),
            STOPPED: (BEHIND, NOTHING),
            MORE: (ASKED, ASK),
            MORE_FULL: (BEHIND, NOTHING),
            END: (ASKED, ASK),
            END_FULL: (BEHIND, NOTHING),
            FAILED: (ASKED, ASK),
        },
    )
    row(
        READING_DOUBTED,
        {
            **offered((READING_DOUBTED, LEAVE)),
            LOST: (READING_DOUBTED, NOTHING),
            LOOKED: (READING_DOUBTED, NOTHING),
            ROOM: (READING_DOUBTED, NOTHING),
            STOPPED: (BEHIND_DOUBTED, NOTHING),
            MORE: again,
            MORE_FULL: (BEHIND_DOUBTED, NOTHING),
            END: again,
            END_FULL: (BEHIND_DOUBTED, NOTHING),
            FAILED: again,
        },
    )
    return moves


MOVES: Final = _moves()
MOST_AHEAD: Final = 256  # pushes written ahead that are remembered without asking which are acknowledged
_IMPOSSIBLE: Final = -1
_DO_BITS: Final = 8

# The table as the window reads it: by state and event, the next state above what is to be done.
_FLAT: Final[list[int]] = [
    _IMPOSSIBLE if move is None else move[0] << _DO_BITS | move[1]
    for move in (MOVES.get((state, event)) for state in range(STATES) for event in range(EVENTS))
]


@final
class Rewound:
    """What a window knew when it went back to `read`: what was in flight, as (position, broadcast)."""

    __slots__ = ("inbox_written", "inflight")

    def __init__(self, inflight: set[tuple[int, bool]], inbox_written: int) -> None:
        self.inflight = inflight
        self.inbox_written = inbox_written


@final
class Ahead:
    """Pushes that were written before their turn, as (position, broadcast), until their turn has come.

    `inbox` and `log`: the latest of each. `favoured`: nothing else was written since the latest.
    """

    __slots__ = ("favoured", "inbox", "log", "pushes")

    def __init__(self) -> None:
        self.pushes: set[tuple[int, bool]] = set()
        self.inbox = 0
        self.log = 0
        self.favoured = False


@final
class Window:
    """One session's window. Nothing here waits or writes: each method says what its caller has to do.

    `size` is how many pushes and messages may be in flight at once, the client's Receive Maximum at most.
    """

    __slots__ = (
        "ahead",
        "inbox_read",
        "inbox_written",
        "inflight",
        "latest",
        "log_read",
        "log_stored",
        "log_written",
        "rewound",
        "size",
        "state",
    )

    def __init__(self, size: int) -> None:
        self.size = size
        self.state = FRESH
        self.inbox_written = 0
        self.inbox_read = 0
        self.log_written = 0
        self.log_read = 0
        self.log_stored = 0  # what the store knows of `log_read`
        self.latest = 0  # the latest position written on this connection, in whatever lane or none
        self.ahead: Ahead | None = None  # until it has caught up again
        self.rewound: Rewound | None = None  # until it has caught up again
        self.inflight: Inflight | None = None  # made when something is first in flight

    # --- its states -------------------------------------------------------------------------------

    def _move(self, event: int) -> int:
        entry = _FLAT[self.state * EVENTS + event]
        if entry == _IMPOSSIBLE:
            raise AssertionError(f"event {event} in state {self.state}")
        self.state = entry >> _DO_BITS
        return entry & ((1 << _DO_BITS) - 1)

    def fresh(self) -> bool:
        """Whether it was not opened yet."""
        return self.state <= FRESH_MISSED

    def asked(self) -> bool:
        """Whether the store is to be read for it."""
        return self.state == ASKED or self.state == ASKED_DOUBTED

    def current(self) -> bool:
        """Whether everything that was stored is written, as far as anybody has told."""
        return self.state == CURRENT

    def behind(self) -> bool:
        """Whether more is pending than there was room for, and nobody was asked to read it."""
        return self.state == BEHIND

    def waits(self) -> bool:
        """Whether pushes are pending in the store that were not written yet, or may be."""
        return self.state != CURRENT and self.state != CURRENT_DOUBTED

    def open(self, log_after: int, pending: bool) -> int:
        """The store has said how far the device has got in the log, and whether anything is pending."""
        self.log_written = self.log_read = self.log_stored = log_after
        return self._move(OPENED_PENDING if pending else OPENED_EMPTY)

    def close(self) -> None:
        """The connection is gone, and with it whatever was in flight: the store has it all.

        How far the log was settled is to be asked before.
        """
        self._move(CLOSED)
        self.inbox_written = self.inbox_read = 0
        self.log_written = self.log_read = self.log_stored = 0
        self.latest = 0
        self.rewound = None
        self.ahead = None
        self.inflight = None

    # --- what is offered --------------------------------------------------------------------------

    def offer(self, position: int, broadcast: bool, before: int, log_before: int, room: bool) -> int:
        """A push was stored. `before`: the position of a unicast that goes first, 0 for none; `log_before`:
        that of a broadcast.

        `room`: whether the client can be written to now, within the window. WRITE, or LEAVE with or without
        ASK; NOTHING for one that is known.
        """
        if broadcast:
            if position <= self.log_written:
                return NOTHING
        elif position <= self.inbox_written:
            if self.knows(position):
                return NOTHING
            return self._move(LATE)
        if log_before > self.log_written or before > self.inbox_written:
            return self._move(EARLY)
        do = self._move(NEXT if room else NEXT_FULL)
        if do & WRITE:
            if broadcast:
                self.log_written = position
            else:
                self.inbox_written = position
            if position > self.latest:
                self.latest = position
        return do

    def pass_by(self, position: int, log_before: int) -> None:
        """A broadcast was stored that is not for this device, or for nobody any more."""
        if self.state == CURRENT and log_before <= self.log_written < position:
            self.log_written = position

    def knows(self, position: int) -> bool:
        """Whether this unicast was read from the store, or is in flight."""
        if position <= self.inbox_read:
            return True
        inflight = self.inflight
        return inflight is not None and inflight.has(self, position)

    def lost(self) -> int:
        """Something may have been lost on its way here."""
        return self._move(LOST)

    def looked(self) -> int:
        """Its turn has come among those that may have lost something, or have a little room."""
        return self._move(LOOKED)

    def made_room(self) -> int:
        """The client has acknowledged enough, or takes bytes again."""
        return self._move(ROOM)

    # --- what is read -----------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Before a read. True when all receipts have to be committed before it begins."""
        ahead = self.ahead
        if not self._move(PREPARED) & REWIND:
            return ahead is not None and len(ahead.pushes) >= MOST_AHEAD
        before = self.rewound
        written = self.inbox_written if before is None else max(self.inbox_written, before.inbox_written)
        self.rewound = Rewound(set() if self.inflight is None else self.inflight.of(self), written)
        self.inbox_written = self.inbox_read
        self.log_written = self.log_read
        return True

    def to_read(self) -> int:
        """How many pushes the read is to bring: as many as there is room for, and those that are left out."""
        return self.free() if self.rewound is None else self.free() + len(self.rewound.inflight)

    def begin(self) -> bool:
        """The read begins at `inbox_written` and `log_written`; False when there is no room for anything.

        What was prepared is done: as far as that was asked for, all receipts are committed.
        """
        room = self.free() > 0
        ahead = self.ahead
        if ahead is not None and len(ahead.pushes) >= MOST_AHEAD:
            # What was acknowledged does not come up again, and is not to be remembered.
            ahead.pushes &= set() if self.inflight is None else self.inflight.of(self)
        self._move(BEGUN if room else FULL)
        return room

    def to_favour(self) -> int:
        """How many of high priority may be written before the others."""
        ahead = self.ahead
        if ahead is not None and ahead.favoured:
            return 0
        free = self.free()
        return max(1, free - free // 4)

    def to_read_ahead(self) -> int:
        """How many of them the read is to bring: as many, and those that are left out."""
        favoured = self.to_favour()
        ahead = self.ahead
        return favoured if ahead is None or not favoured else favoured + len(ahead.pushes)

    def take_ahead(self, position: int, broadcast: bool) -> bool:
        """A push of high priority that was read before its turn; False when it was written already."""
        push = (position, broadcast)
        if self.rewound is not None and push in self.rewound.inflight:
            return False
        ahead = self.ahead
        if ahead is None:
            ahead = self.ahead = Ahead()
        if push in ahead.pushes:
            return False
        ahead.pushes.add(push)
        ahead.favoured = True
        if broadcast:
            ahead.log = max(ahead.log, position)
        else:
            ahead.inbox = max(ahead.inbox, position)
        if position > self.latest:
            self.latest = position
        return True

    def take(self, position: int, broadcast: bool) -> bool:
        """The next push that was read; False when it was written to this connection already."""
        # Who read from where the store was known without a gap knows it without a gap up to here.
        if broadcast:
            if self.log_read == self.log_written:
                self.log_read = position
            self.log_written = position
        else:
            if self.inbox_read == self.inbox_written:
                self.inbox_read = position
            self.inbox_written = position
        if position > self.latest:
            self.latest = position
        ahead = self.ahead
        if ahead is not None:
            if (position, broadcast) in ahead.pushes:
                ahead.pushes.discard((position, broadcast))
                return False
            ahead.favoured = False
        return self.rewound is None or (position, broadcast) not in self.rewound.inflight

    def stop(self) -> int:
        """Not all that was read could be written."""
        return self._move(STOPPED)

    def end(self, log_after: int, all_read: bool) -> int:
        """All that was read is written. `log_after`: how far that was in the log; `all_read`: to the end."""
        if log_after > self.log_written:
            if self.log_read == self.log_written:
                self.log_read = log_after
            self.log_written = log_after
        room = self.free() > 0
        event = END if all_read else MORE
        do = self._move(event if room else event + 1)
        rewound = self.rewound
        if do & CAUGHT_UP and rewound is not None:
            if rewound.inbox_written > self.inbox_written:
                if self.inbox_read == self.inbox_written:
                    self.inbox_read = rewound.inbox_written
                self.inbox_written = rewound.inbox_written
            self.rewound = None
        ahead = self.ahead
        if do & CAUGHT_UP and ahead is not None:
            # All that was stored before these was read, or is over, like themselves.
            self.inbox_written = max(self.inbox_written, ahead.inbox)
            self.inbox_read = max(self.inbox_read, ahead.inbox)
            self.log_written = max(self.log_written, ahead.log)
            self.log_read = max(self.log_read, ahead.log)
            self.ahead = None
        return do

    def fail(self) -> int:
        """The store did not answer."""
        return self._move(FAILED)

    # --- what is in flight ------------------------------------------------------------------------

    def share(self, other: "Window") -> None:
        """Goes on the connection of another: packet identifiers and the client's limit are in common."""
        if other.inflight is None:
            other.inflight = Inflight()
        self.inflight = other.inflight
        self.size = other.size

    def free(self) -> int:
        """How many more messages may be in flight now."""
        inflight = self.inflight
        return self.size if inflight is None else self.size - len(inflight)

    def spare(self) -> int:
        """The same for plain messages: while pushes wait in the store, half of the window is theirs."""
        return self.free() - (self.size + 1) // 2 if self.waits() else self.free()

    def identify(self, entry: InFlight | None) -> int:
        """A packet identifier for what is written now; None for a plain message. The window has room."""
        inflight = self.inflight
        if inflight is None:
            inflight = self.inflight = Inflight()
        return inflight.add(entry)

    def keep(self, packet_id: int, entry: InFlight) -> None:
        """The same under an identifier that was reserved."""
        inflight = self.inflight
        if inflight is None:
            inflight = self.inflight = Inflight()
        inflight.unreserve(packet_id)
        inflight.put(packet_id, entry)

    def log_settled(self) -> int:
        """The log position up to which nothing is pending for this device: below what is still in flight."""
        inflight = self.inflight
        first = inflight.first_broadcast(self) if inflight is not None else 0
        return min(self.log_read, first - 1) if first else self.log_read
