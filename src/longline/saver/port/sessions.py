"""The duties of MQTT sessions that outlive their connections, and of wills.

A device has at most one session that is kept. It is known by its `number`, the epoch of the connection that
began it; what was written for an earlier one is nothing to a later one. `epoch` is that of the session's
connection of now: whoever acts for an earlier one changes nothing, but for what the client itself has told
(an acknowledgement stays true).

A session is *connected* from `open` until `close`, or until its node is given up by `abandon`; then it is
kept for `expires_in` seconds, and is over. One with 0 is over when its connection is, also where nobody has
told of that yet: whoever connects next finds nothing. A client that has nothing to be kept (clean start, no
expiry, no will) and of which nothing is kept never comes here.

When a session is over, its filters, its queue and its QoS 2 state count for nothing from that moment on; what
they take up is removed by `ExpiryStore.end`. Those of a deleted device or app go in the same way, and their
wills with them.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from longline.model.pubsub import Filter, StoredWill
from longline.saver.port.flights import Flight

FOREVER: Final = 0xFFFF_FFFF  # s: the session does not expire (MQTT 5.0, section 3.1.2.11.2)
WILLS: Final = 16  # of one device that are due and not published; of more, the oldest are forgotten


class OpenSession(msgspec.Struct, frozen=True):
    """A device has been bound to `node` under `epoch`, and its client asks for a session; `now` in ms.

    `clean`: what is kept of an earlier one is over. `expires_in` in seconds, 0 for one that ends with its
    connection.
    """

    app: int
    device: str
    ordinal: int
    node: str
    epoch: int
    now: int
    clean: bool
    expires_in: int
    will: StoredWill | None = None


class KeptSession(msgspec.Struct, frozen=True):
    """The session as it is now. `present`: it was there before [MQTT-3.2.2-2].

    `filters` and the lists below rise. `queued` is the place of the first message that waits in its queue, 0
    when none does; it may be one that is over. `sent`: messages up to this place may have been written to an
    earlier connection; all of them, where its node has not told of its end yet. `latest` is the highest place
    that the queue has given. `released`: places of QoS 2 messages that the client has received (PUBREC) and
    not completed. `received`: packet identifiers of QoS 2 messages that came from the client and were not
    released by it. `flights`: pushes with QoS 2 that it was sent, or may have been, by rising position.
    """

    number: int
    present: bool
    filters: tuple[Filter, ...] = ()
    queued: int = 0
    sent: int = 0
    latest: int = 0
    released: tuple[int, ...] = ()
    received: tuple[int, ...] = ()
    flights: tuple[Flight, ...] = ()


class KeepSession(msgspec.Struct, frozen=True, gc=False):
    """A session goes on under another name of its node, and under another epoch: see `Register.rebind`."""

    app: int
    ordinal: int
    number: int
    before: int  # its epoch so far
    epoch: int
    node: str


class CloseSession(msgspec.Struct, frozen=True, gc=False):
    """A session has lost its connection, the one with `epoch`, at `now` (ms).

    `expires_in` replaces what `OpenSession` said, where the client has changed it (section 3.14.2.2.2).
    `will`: whether its will is to be published: it did not go with reason 0x00.
    """

    app: int
    ordinal: int
    epoch: int
    now: int
    will: bool
    expires_in: int | None = None


class AddFilter(msgspec.Struct, frozen=True, gc=False):
    """A session has a filter from now on; one that it had already is replaced."""

    app: int
    device: str
    ordinal: int
    number: int
    epoch: int
    filter: Filter


class RemoveFilter(msgspec.Struct, frozen=True, gc=False):
    """A session has a filter no more."""

    app: int
    ordinal: int
    number: int
    epoch: int
    filter: str


class DueWill(msgspec.Struct, frozen=True):
    """A will whose time has come: to be published, and then told of by `SessionStore.published`.

    `id` is a UUIDv7 that is the same however often it is given out.
    """

    app: int
    device: str
    ordinal: int
    id: str
    will: StoredWill


class SessionStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph."""

    async def open(self, batch: Sequence[OpenSession]) -> list[KeptSession | None]:
        """Begins or resumes sessions; None for an app or a device that is no more, or a newer epoch's.

        The will of the connection before, unless its time has come already: where the session ends by this,
        or the will has no delay, it is due at once; else it is dropped, since the session goes on
        [MQTT-3.1.3-9]. Where nobody has told of that connection's end, it is due when its node has (`close`),
        which drops it if the client said that it goes; or when the node is given up (`abandon`).

        What the same epoch asks once more is answered as before, and changes nothing.
        """
        ...

    async def keep(self, batch: Sequence[KeepSession]) -> list[bool]:
        """Has sessions go on, connected, also where they were given up meanwhile; a will that `due_wills` has
        not given out waits again. False where another epoch has the session, or it is over."""
        ...

    async def close(self, batch: Sequence[CloseSession]) -> list[bool]:
        """Sessions are without a connection now; those that do not outlive it are over.

        A will that is to be published is due when its delay is over or the session is, whichever comes first
        (section 3.1.3.2.2); else it is dropped. Of a session that was given up meanwhile this is the better
        word. False where another epoch has the session, and nothing is changed but for a will that waits for
        this (`open`); True also where there is none any more.
        """
        ...

    async def abandon(self, node: str, now: int, grace: int, limit: int) -> int:
        """Closes at most `limit` sessions that a dead node had, as if they had broken off at `now` (ms).

        `grace` in ms: none of them is over, and no will of them is due before; the client, or the node, may
        be back. Wills that wait for the node's word are due at once. How many it found of both.
        """
        ...

    async def subscribe(self, batch: Sequence[AddFilter]) -> list[bool | None]:
        """Whether the session had the filter before; None where another epoch or number has it, or nobody."""
        ...

    async def unsubscribe(self, batch: Sequence[RemoveFilter]) -> list[bool | None]:
        """Whether the session had the filter; None as above."""
        ...

    async def filters(self, app: int, ordinal: int, now: int) -> list[Filter] | None:
        """The filters of the session that a device has, by their bytes; None when it has none here."""
        ...

    async def wanted(self, apps: Sequence[int]) -> list[bool]:
        """Whether a session that is kept may have a filter in the app, be it connected or not.

        True from before the first `subscribe` of one returns. It may stay True when the last is gone.
        """
        ...

    async def count(self, app: int) -> int:
        """How many sessions an app has, about: those that are over may count until they are swept."""
        ...

    async def sweep(self, now: int, limit: int) -> int:
        """Ends at most `limit` sessions whose time is over; how many it found."""
        ...

    async def due_wills(self, now: int, limit: int, lease: int) -> list[DueWill]:
        """At most `limit` wills whose time has come, each given to one caller for `lease` ms: then to the
        next, unless it was `published`. One with QoS 0 is given once only."""
        ...

    async def published(self, wills: Sequence[DueWill]) -> None:
        """These wills are published: they are gone."""
        ...
