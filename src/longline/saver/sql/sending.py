"""Storing messages: a whole group of submissions in a dozen statements."""

from collections.abc import Callable, Sequence

import msgspec
from pyroaring import BitMap

from longline.errors import AppNotFound, NoTarget
from longline.model.audience import Everyone
from longline.model.commands import Broadcast, Part, Target, Unicast
from longline.model.devices import Binding
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from longline.saver.sql.database import Database, device_range, id_bytes, integer
from longline.saver.sql.expiring import END
from longline.saver.sql.positions import Positions
from longline.saver.sql.registry import Registry
from longline.saver.sql.standings import COLLAPSED, Standings

Locate = Callable[[int, Sequence[str]], Sequence[Binding | None]]
Results = tuple[Accepted | Refused, ...]

_remembered = msgspec.json.Decoder(list[tuple[int, str, str]])
_results = msgspec.json.Decoder(Results)
_pairs = msgspec.json.Decoder(list[tuple[int, int]])
_integers = msgspec.json.Decoder(list[int])
_pack = msgspec.msgpack.Encoder().encode

# A message's record: position, app, expires_at, online_only, missing, id, body.
MESSAGE = b"%019d%010d%015d%d%05d%b%b"
INSERT_MESSAGES = f"""
INSERT INTO messages (position, app, expires_at, online_only, missing, id, body)
SELECT {integer(1, 19)}, {integer(20, 10)}, {integer(30, 15)}, {integer(45, 1)}, {integer(46, 5)},
       substr(value, 51, 16), substr(value, 67)
  FROM carray(?1)"""

# A delivery's record: position, device, routed, collapse key (may be empty).
DELIVERY = b"%019d%019d%d%b"
POSITION, DEVICE, ROUTED = integer(1, 19), integer(20, 19), integer(39, 1)
COLLAPSE = "CAST(substr(value, 40) AS TEXT)"
INSERT_DELIVERIES = f"""
INSERT INTO deliveries (position, device, state, routed)
SELECT {POSITION}, {DEVICE}, 0, {ROUTED} FROM carray(?1)"""
INSERT_INBOX = f"INSERT INTO inbox SELECT {DEVICE}, {POSITION}, nullif({COLLAPSE}, '') FROM carray(?1)"

# Older entries of the same device and collapse key. CROSS JOIN: the array is the outer loop.
OLDER = f"""
  FROM carray(?1) AS newer
 CROSS JOIN inbox AS old ON old.collapse = {COLLAPSE} AND old.device = {DEVICE}
                        AND old.position < {POSITION}"""
COLLAPSE_DELIVERIES = f"""
UPDATE deliveries SET state = {State.COLLAPSED:d}, settled_at = ?2
 WHERE (position, device) IN (SELECT old.position, old.device {OLDER}) AND state = 0"""
COLLAPSE_INBOX = f"DELETE FROM inbox WHERE (device, position) IN (SELECT old.device, old.position {OLDER})"
OLDER_BROADCASTS = f"""
SELECT json_group_array(json_array(log.position, {DEVICE} & 0xFFFFFFFF))
  FROM carray(?1) AS newer
 CROSS JOIN log ON log.app = {DEVICE} >> 32 AND log.collapse = {COLLAPSE} AND log.position < {POSITION}
 WHERE log.kept"""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """What is stored for named devices and still lacks their bindings, which are read after the commit."""

    app: int
    message: Message
    position: int
    names: list[str]
    ordinals: list[int]


class Draft(msgspec.Struct, frozen=True):
    """An outcome before the commit."""

    results: Results
    routes: list[Delivery | Broadcast]
    replayed: bool = False

    def outcome(self, locate: Locate) -> Outcome:
        """The outcome, with the bindings of this moment."""
        return Outcome(
            self.results,
            tuple(
                route if isinstance(route, Broadcast) else _unicast(route, locate) for route in self.routes
            ),
            self.replayed,
        )


def _unicast(delivery: Delivery, locate: Locate) -> Unicast:
    position = delivery.position
    bindings = locate(delivery.app, delivery.names)
    return Unicast(
        delivery.app,
        delivery.message,
        tuple(
            Target(name, ordinal, position, binding)
            for name, ordinal, binding in zip(delivery.names, delivery.ordinals, bindings, strict=True)
        ),
    )


class _Group:
    """The rows of a group of submissions, and its latest time."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.messages: list[bytes] = []
        self.deliveries: list[bytes] = []
        self.kept: list[bytes] = []
        self.collapsing: list[bytes] = []
        self.broadcasts: list[tuple[int, int, Message]] = []  # position, app, message; of those that collapse
        self.runs: list[tuple[int, int, int]] = []  # at, first, last

    def ends(self, at: int, position: int) -> None:
        """Notes when a message ends, in the run before it when they are neighbours and end together."""
        if self.runs:
            last_at, first, last = self.runs[-1]
            if last_at == at and last + 1 == position:
                self.runs[-1] = (at, first, position)
                return
        self.runs.append((at, position, position))


class Sending:
    """`Saver.enqueue`, for the writer's thread."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        positions: Positions,
        standings: Standings,
        locate: Locate,
    ) -> None:
        self._database = database
        self._registry = registry
        self._positions = positions
        self._standings = standings
        self._locate = locate

    def enqueue(self, calls: list[Sequence[Submission]]) -> list[list[Draft | IdempotencyConflict]]:
        submissions = [submission for call in calls for submission in call]
        remembered = self._recall(submissions)
        keys = self._resolve(submissions)
        group = _Group(max((submission.now for submission in submissions), default=0))
        answers: list[Draft | IdempotencyConflict] = []
        fresh: list[tuple[Submission, Results]] = []
        for submission in submissions:
            name = (submission.app, submission.idempotency_key or "")
            before = remembered.get(name) if submission.idempotency_key else None
            if before is not None:
                digest, results = before
                same = digest == submission.digest
                answers.append(Draft(results, [], replayed=True) if same else IdempotencyConflict())
                continue
            draft = self._store(submission, keys, group)
            answers.append(draft)
            if submission.idempotency_key:
                # Also for the rest of this very group: two requests may race with one key.
                remembered[name] = (submission.digest, draft.results)
                fresh.append((submission, draft.results))
        self._write(group)
        self._remember(fresh)
        rest = iter(answers)
        return [[next(rest) for _ in call] for call in calls]

    # --- idempotency ---

    def _recall(self, submissions: list[Submission]) -> dict[tuple[int, str], tuple[bytes, Results]]:
        keyed = [
            (submission.app, submission.idempotency_key, submission.now)
            for submission in submissions
            if submission.idempotency_key
        ]
        if not keyed:
            return {}
        found = self._database.text(
            "SELECT json_group_array(json_array(asked.key, hex(digest), results)) FROM json_each(?1) AS asked"
            " CROSS JOIN idempotency AS stored"
            " ON stored.app = asked.value ->> 0 AND stored.key = asked.value ->> 1"
            " WHERE stored.ends_at > asked.value ->> 2",
            msgspec.json.encode(keyed).decode(),
        )
        return {
            (keyed[index][0], keyed[index][1]): (bytes.fromhex(digest), _results.decode(results))
            for index, digest, results in _remembered.decode(found)
        }

    def _remember(self, fresh: list[tuple[Submission, Results]]) -> None:
        if not fresh:
            return
        rows = [
            (
                submission.app,
                submission.idempotency_key,
                submission.digest.hex(),
                msgspec.json.encode(results).decode(),
                submission.now + submission.idempotency_ttl,
            )
            for submission, results in fresh
        ]
        # OR REPLACE: an older one of the same key may be over, and not yet swept.
        self._database.run(
            "INSERT OR REPLACE INTO idempotency (app, key, digest, results, ends_at)"
            " SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4"
            " FROM json_each(?1)",
            msgspec.json.encode(rows).decode(),
        )

    # --- rows ---

    def _resolve(self, submissions: list[Submission]) -> dict[str, int | None]:
        """Keys of all devices named in the group, by address."""
        addresses: list[str] = []
        for submission in submissions:
            prefix = f"{submission.app}/"
            for envelope in submission.envelopes:
                if not isinstance(envelope.audience, Everyone):
                    addresses.extend([prefix + name for name in envelope.audience.devices])
        return dict(zip(addresses, self._registry.find(addresses), strict=True))

    def _store(self, submission: Submission, keys: dict[str, int | None], group: _Group) -> Draft:
        results: list[Accepted | Refused] = []
        routes: list[Delivery | Broadcast] = []
        door = self._registry.door(submission.app)
        for envelope in submission.envelopes:
            route: Delivery | Broadcast | None = None
            if door is None:
                results.append(Refused(AppNotFound.code))
                continue
            if isinstance(envelope.audience, Everyone):
                targets = self._registry.everyone(submission.app, door)
                targeted = len(targets)
                if targets:
                    route = self._store_broadcast(submission.app, envelope.message, targets, group)
            else:
                targeted = len(envelope.audience.devices)
                route = self._store_unicast(submission, envelope, envelope.audience.devices, keys, group)
            if route is None:
                results.append(Refused(NoTarget.code))
            else:
                results.append(Accepted(envelope.message.id, targeted))
                routes.append(route)
        return Draft(tuple(results), routes)

    def _store_unicast(
        self,
        submission: Submission,
        envelope: Envelope,
        audience: tuple[str, ...],
        keys: dict[str, int | None],
        group: _Group,
    ) -> Delivery | None:
        app, message = submission.app, envelope.message
        prefix = f"{app}/"
        names: list[str] = []
        found: list[int] = []
        for name in audience:
            key = keys[prefix + name]
            if key is not None:
                names.append(name)
                found.append(key)
        if not found:
            return None
        position = self._add_message(app, message, len(audience) - len(found), group)
        collapse = (message.collapse_key or "").encode()
        rows = [
            DELIVERY % (position, key, binding is not None, collapse)
            for key, binding in zip(found, self._locate(app, names), strict=True)
        ]
        group.deliveries += rows
        if not message.online_only:
            group.kept += rows
            if collapse:
                group.collapsing += rows
        return Delivery(app, message, position, names, [key & 0xFFFF_FFFF for key in found])

    def _store_broadcast(self, app: int, message: Message, targets: BitMap, group: _Group) -> Broadcast:
        position = self._add_message(app, message, 0, group)
        frozen = self._standings.create(position, targets, self._database)
        self._database.run(
            "INSERT INTO log (position, app, expires_at, kept, collapse) VALUES (?1, ?2, ?3, ?4, ?5)",
            position,
            app,
            message.expires_at,
            not message.online_only,
            message.collapse_key or None,
        )
        if message.collapse_key and not message.online_only:
            group.broadcasts.append((position, app, message))
        return Broadcast(app, message, (Part(position, frozen),))

    def _add_message(self, app: int, message: Message, missing: int, group: _Group) -> int:
        position = self._positions.take()
        group.messages.append(
            MESSAGE
            % (
                position,
                app,
                message.expires_at,
                message.online_only,
                missing,
                id_bytes(message.id),
                _pack(message),
            )
        )
        group.ends(message.expires_at, position)
        return position

    def _write(self, group: _Group) -> None:
        run = self._database.run
        if group.messages:
            run(INSERT_MESSAGES, tuple(group.messages))
            run(
                "INSERT INTO expiry (at, kind, first, last)"
                " SELECT value ->> 0, ?2, value ->> 1, value ->> 2 FROM json_each(?1)",
                msgspec.json.encode(group.runs).decode(),
                END,
            )
        if group.deliveries:
            run(INSERT_DELIVERIES, tuple(group.deliveries))
        if group.kept:
            run(INSERT_INBOX, tuple(group.kept))
        # Collapsing looks at what is older by position, so all of the group is in place before it.
        if group.collapsing:
            newer = tuple(group.collapsing)
            run(COLLAPSE_DELIVERIES, newer, group.now)
            run(COLLAPSE_INBOX, newer)
            older: dict[int, list[int]] = {}
            for position, ordinal in _pairs.decode(self._database.text(OLDER_BROADCASTS, newer)):
                older.setdefault(position, []).append(ordinal)
            for position, ordinals in older.items():
                self._standings.settle(position, COLLAPSED, BitMap(ordinals), self._database)
        for position, app, message in group.broadcasts:
            self._collapse_before(position, app, message)

    def _collapse_before(self, position: int, app: int, message: Message) -> None:
        """Collapses what is older than a broadcast, for the devices of both."""
        targets = self._standings.get(position, self._database).targets
        older = self._database.text(
            "SELECT json_group_array(position) FROM log"
            " WHERE app = ?1 AND collapse = ?2 AND position < ?3 AND kept",
            app,
            message.collapse_key,
            position,
        )
        for old in _integers.decode(older):
            self._standings.settle(old, COLLAPSED, targets, self._database)
        # Whoever has an inbox is registered, so the broadcast is for everyone of them.
        found = (message.collapse_key, *device_range(app), position)
        self._database.run(
            f"UPDATE deliveries SET state = {State.COLLAPSED:d}, settled_at = ?5"
            " WHERE (position, device) IN (SELECT position, device FROM inbox"
            " WHERE collapse = ?1 AND device BETWEEN ?2 AND ?3 AND position < ?4) AND state = 0",
            *found,
            message.created_at,
        )
        self._database.run(
            "DELETE FROM inbox WHERE collapse = ?1 AND device BETWEEN ?2 AND ?3 AND position < ?4", *found
        )
