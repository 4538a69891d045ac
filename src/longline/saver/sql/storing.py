"""Whom the messages of a group of submissions are for, and what of them goes into the tables and on its way.

Compiled: this is done for each message.
"""

from collections.abc import Sequence
from typing import Final, final

from pyroaring import BitMap

from longline.errors import AppNotFound, GroupNotFound, NoTarget
from longline.model.audience import Devices, Expression
from longline.model.commands import Broadcast, Part, Target, Unicast
from longline.model.devices import Binding
from longline.model.messages import Envelope, Message, Said
from longline.model.statistics import Counted
from longline.saver.port.messages import Accepted, Outcome, Refused, Submission
from longline.saver.sql.audiences import resolve
from longline.saver.sql.broadcasts import BroadcastLedgers
from longline.saver.sql.counts import SqlCounts
from longline.saver.sql.database import Database
from longline.saver.sql.fencing import Locate
from longline.saver.sql.groups import GroupRow, Sayings
from longline.saver.sql.labels import Labels
from longline.saver.sql.members import AppMembers, Members
from longline.saver.sql.overflow import Overflow
from longline.saver.sql.positions import Positions
from longline.saver.sql.rows import SubmissionRows

Results = tuple[Accepted | Refused, ...]

_APP_NOT_FOUND: Final = Refused(AppNotFound.code)
_GROUP_NOT_FOUND: Final = Refused(GroupNotFound.code)
_NO_TARGET: Final = Refused(NoTarget.code)


@final
class Stored:
    """What is stored for named devices and still lacks their bindings, which are read after the commit."""

    __slots__ = ("app", "devices", "log_before", "message", "names", "position")

    def __init__(
        self,
        app: int,
        message: Message,
        position: int,
        log_before: int,
        names: list[str],
        devices: list[int],
    ) -> None:
        self.app = app
        self.message = message
        self.position = position
        self.log_before = log_before
        self.names = names
        self.devices = devices

    def routed(self, bindings: Sequence[Binding | None], first: int) -> Unicast:
        """The message on its way to its devices, whose bindings begin with the `first`."""
        targets: list[Target] = []
        position, log_before = self.position, self.log_before
        for place, name in enumerate(self.names):
            binding = bindings[first + place]
            # Unicasts come to the room of this process in their order: nothing of them is lost or late.
            targets.append(Target(name, self.devices[place] & 0xFFFF_FFFF, position, binding, 0, log_before))
        return Unicast(self.app, self.message, tuple(targets))


@final
class Prepared:
    """An outcome before the commit."""

    __slots__ = ("replayed", "results", "routes")

    def __init__(self, results: Results, routes: list[Stored | Broadcast], replayed: bool = False) -> None:
        self.results = results
        self.routes = routes
        self.replayed = replayed

    def outcome(self, locate: Locate) -> Outcome:
        """The outcome, with the bindings of this moment: asked for once, since all devices are of one app."""
        names: list[str] = []
        app = 0
        for route in self.routes:
            if isinstance(route, Stored):
                app = route.app
                names += route.names
        bindings: Sequence[Binding | None] = locate(app, names) if names else ()
        routes: list[Unicast | Broadcast] = []
        first = 0
        for route in self.routes:
            if isinstance(route, Stored):
                routes.append(route.routed(bindings, first))
                first += len(route.names)
            else:
                routes.append(route)
        return Outcome(self.results, tuple(routes), self.replayed)


@final
class Storing:
    """For the writer's thread. `locate`: where devices are bound."""

    __slots__ = (
        "_broadcasts",
        "_counts",
        "_database",
        "_labels",
        "_locate",
        "_members",
        "_overflow",
        "_positions",
        "_sayings",
    )

    def __init__(
        self,
        database: Database,
        members: Members,
        labels: Labels,
        positions: Positions,
        broadcasts: BroadcastLedgers,
        overflow: Overflow,
        locate: Locate,
        counts: SqlCounts,
        sayings: Sayings,
    ) -> None:
        self._database = database
        self._members = members
        self._labels = labels
        self._positions = positions
        self._broadcasts = broadcasts
        self._overflow = overflow
        self._locate = locate
        self._counts = counts
        self._sayings = sayings

    def named(self, submissions: Sequence[Submission]) -> dict[str, int | None]:
        """Keys of all devices named in the group, by address."""
        addresses: list[str] = []
        for submission in submissions:
            prefix = f"{submission.app}/"
            for envelope in submission.envelopes:
                audience = envelope.audience
                if isinstance(audience, Devices):
                    addresses += [prefix + name for name in audience.devices]
                said = envelope.message.said
                if said is not None and said.sender is not None:
                    addresses.append(prefix + said.sender)
        return dict(zip(addresses, self._members.find(addresses), strict=True))

    def store(self, submission: Submission, keys: dict[str, int | None], group: SubmissionRows) -> Prepared:
        """Adds a submission to the rows of its group. `keys`: of all devices that are named there."""
        app, envelopes = submission.app, submission.envelopes
        membership = self._members.of(app)
        if membership is None:
            return Prepared((_APP_NOT_FOUND,) * len(envelopes), [])
        self._overflow.bound(app, submission.inbox)
        prefix = f"{app}/"
        found: list[tuple[list[str], list[int]]] = []  # of each audience that consists of names
        everybody: list[str] = []
        for envelope in envelopes:
            audience = envelope.audience
            if isinstance(audience, Devices):
                names: list[str] = []
                devices: list[int] = []
                for name in audience.devices:
                    key = keys[prefix + name]
                    if key is not None:
                        names.append(name)
                        devices.append(key)
                found.append((names, devices))
                everybody += names
        bindings: Sequence[Binding | None] = self._locate(app, everybody) if everybody else ()
        place = first = 0
        results: list[Accepted | Refused] = []
        routes: list[Stored | Broadcast] = []
        for envelope in envelopes:
            audience = envelope.audience
            message = envelope.message
            if isinstance(audience, Devices):
                names, devices = found[place]
                place += 1
                if not names:
                    results.append(_NO_TARGET)
                    continue
                position = self._positions.take()
                targeted = len(audience.devices)
                group.add_message(position, app, envelope, targeted - len(names))
                group.add_deliveries(position, message, devices, bindings, first)
                first += len(names)
                routes.append(Stored(app, message, position, group.newest.get(app, 0), names, devices))
                results.append(Accepted(message.id, targeted))
                continue
            targets = self._targets(audience, app, membership)
            row: GroupRow | None = None
            if message.said is not None:
                row = self._spoken(app, message.said, targets, keys)
                if row is None:
                    results.append(_GROUP_NOT_FOUND)
                    continue
            if not targets:
                results.append(_NO_TARGET)
                continue
            routes.append(self._store_broadcast(app, envelope, targets, group, row))
            results.append(Accepted(message.id, len(targets)))
        if routes:
            self._counts.add(app, submission.now, Counted.MESSAGES, len(routes))
        return Prepared(tuple(results), routes)

    def _targets(self, expression: Expression, app: int, membership: AppMembers) -> BitMap:
        self._labels.flush()
        return resolve(expression, app, self._database, lambda: self._members.everyone(app, membership))

    def _spoken(self, app: int, said: Said, targets: BitMap, keys: dict[str, int | None]) -> GroupRow | None:
        """The group in which a message is said; None when there is none, or its sender is no member."""
        if said.sender is not None:
            key = keys[f"{app}/{said.sender}"]
            if key is None or (key & 0xFFFF_FFFF) not in targets:
                return None
        return self._sayings.find(app, said.group)

    def _store_broadcast(
        self, app: int, envelope: Envelope, targets: BitMap, group: SubmissionRows, row: GroupRow | None
    ) -> Broadcast:
        """`row`: the group in which it is said."""
        if row is not None:
            said = self._sayings.add(row, envelope.message, group.now)
            envelope = Envelope(said, envelope.audience, envelope.label)
        message = envelope.message
        position = self._positions.take()
        group.add_message(position, app, envelope, 0)
        frozen = self._broadcasts.create(position, targets, self._database)
        self._database.run(
            "INSERT INTO log (position, app, expires_at, kept, collapse, high, grp)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            position,
            app,
            message.expires_at,
            not message.online_only,
            message.collapse_key or None,
            message.priority == "high",
            row.number if row is not None else 0,
        )
        if message.collapse_key and not message.online_only:
            group.broadcasts.append((position, app, message))
        before = group.newest.get(app, 0)
        if not message.online_only:
            group.newest[app] = position
        return Broadcast(app, message, (Part(position, frozen, before),))
