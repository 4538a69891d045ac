"""Membership, leadership and values of a cluster, in ZooKeeper.

    ROOT/members/NODE          ephemeral: the member as JSON
    ROOT/leaders/DUTY/NODE     ephemeral: a candidate; the one created first leads, and the transaction that
                               created it (zxid) is its term
    ROOT/settings/KEY          a value after its first line; `:` stands for the `/` of keys. The first line is
                               a number, which with ZooKeeper's count of writes gives the value's version
    ROOT/removed               the highest version that a removed value had: what comes anew goes on above it

All reads are answered from a view, which watches keep up to date. It survives a lost connection and a lost
session; after either everything is read and watched anew.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from kazoo.client import TransactionRequest
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from longline.errors import Conflict, Unavailable
from longline.flow.kept import kept
from longline.keeper.branch import Branch
from longline.keeper.names import Names
from longline.keeper.port import Kept, Node
from longline.keeper.view import Lead, View, check_name, check_write
from longline.settings import KeeperSettings
from longline.store.zookeeper import Found, ZooKeeperSession
from longline.telemetry.faults import Faults

REREAD_AFTER: Final = 0.25  # s that a change of a member's data waits for others: all report their loads
REREADS: Final = 200  # members read anew in a second at most, however many there are
RETRY_AFTER: Final = 0.5  # s
ATTEMPTS: Final = 20  # of a write that others get in the way of


log = structlog.get_logger("longline.keeper")

Followed = Branch[Node] | Branch[Kept] | Branch[int]


class ZooKeeper:
    """Fulfils `Keeper`.

    A session that was lost takes the members of this process along: they are gone from `members()` at once
    and lead nothing, and joining under such a name raises `Fenced`. This process is in touch again when it
    has a new session and has read everything anew.
    """

    def __init__(self, settings: KeeperSettings, faults: Faults) -> None:
        root = self._root = settings.root
        self._session = ZooKeeperSession(settings.hosts, settings.session_timeout, self, faults)
        self._faults = faults
        self._view = View()
        self._names = Names()
        self._joining = asyncio.Lock()
        self._members = Branch(
            self._session,
            f"{root}/members",
            _decode_member,
            self._view.put_members,
            patience=lambda: max(REREAD_AFTER, len(self._members.entries) / REREADS),
        )
        self._values = Branch(self._session, f"{root}/settings", _decode_value, self._put_values)
        self._duties: dict[str, Branch[int]] = {}
        self._current = False  # the view was read in this session
        self._was_in_touch = False
        self._rebuild = True
        self._woken = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: KeeperSettings, faults: Faults) -> "ZooKeeper":
        """Raises `Unavailable` when no server answers within the session's timeout."""
        keeper = cls(settings, faults)
        await keeper._session.open()
        try:
            await keeper._session.ensure(f"{settings.root}/removed")
            await keeper._read_anew()
        except BaseException:
            await keeper._session.close()
            raise
        follow = kept("keeper.follow", keeper._follow, faults)
        keeper._following = asyncio.create_task(follow, name="keeper.follow")
        return keeper

    async def close(self) -> None:
        """Takes a few seconds at most; when ZooKeeper cannot be reached its members go with the timeout."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._session.close()
        self._view.close()

    # --- members ----------------------------------------------------------------------------------

    async def join(self, node: Node) -> None:
        check_name(node.node)
        async with self._joining:
            await self._join(node.node, msgspec.json.encode(node))
        await self._see(self._members, node.node)

    async def _join(self, name: str, data: bytes) -> None:
        epoch = self._session.epoch
        known = name in self._names
        self._names.begin(name)
        try:
            if not known:
                await self._create_member(name, data)
            elif not await self._replace_member(name, data):
                self._names.die([name])  # by somebody's hand, or with the session
        except BaseException:
            if not known and self._session.epoch == epoch:
                self._names.forget(name)
            raise
        if self._names.is_dead(name):
            # An attempt that began in a session that was lost may have made it in the new one.
            await self._session.delete(self._member_path(name))
            self._names.begin(name)

    async def leave(self, node: str) -> None:
        if self._names.leave(node):
            branches: list[Followed] = [branch for branch in self._duties.values() if node in branch.entries]
            branches.append(self._members)
            await asyncio.gather(*(self._session.delete(f"{branch.path}/{node}") for branch in branches))
            for branch in branches:
                await self._see(branch, node, others=True)
        self._names.forget(node)

    async def members(self) -> list[Node]:
        return self._view.by_name()

    def in_touch(self) -> bool:
        return self._current and self._session.in_touch()

    def age(self) -> float:
        return self._session.age()

    async def _replace_member(self, name: str, data: bytes) -> bool:
        """False when it is not there."""
        try:
            await self._session.set(self._member_path(name), data)
        except NoNodeError:
            return False
        return True

    async def _create_member(self, name: str, data: bytes) -> None:
        path = self._member_path(name)
        try:
            await self._session.create_ephemeral(path, data)
        except NodeExistsError:
            found, session = await self._session.get(path), self._session.id
            if found is not None and found.owner != session and session:
                raise Conflict(f"another process is a member under the name {name}") from None
            if found is None or not session or not await self._replace_member(name, data):
                raise Unavailable(f"whether {name} is a member cannot be said now") from None

    def _member_path(self, name: str) -> str:
        return f"{self._members.path}/{name}"

    # --- leaders ----------------------------------------------------------------------------------

    async def leads(self, duty: str, node: str) -> bool:
        if not self.in_touch():
            return False
        try:
            branch = await self._duty(duty)
            if self._names.is_member(node) and node not in branch.entries:
                with contextlib.suppress(NodeExistsError):
                    await self._session.create_ephemeral(f"{branch.path}/{node}", b"")
                await self._see(branch, node, others=True)  # whoever was there before us goes first
        except Unavailable as error:
            log.debug("no_candidate", duty=duty, error=error.message)
            return False
        lead = self._view.leaders.get(duty)
        return lead is not None and lead.node == node and self._may_lead(node) and self.in_touch()

    async def term(self, duty: str) -> int:
        with contextlib.suppress(Unavailable):
            await self._duty(duty)
        return self._view.term(duty)

    def _may_lead(self, node: str) -> bool:
        """Of our own the living, of others those that are listed."""
        return node in self._view.members and (node not in self._names or self._names.is_member(node))

    async def _duty(self, duty: str) -> Branch[int]:
        """The candidates, which are followed from the first time that somebody asks for them."""
        branch = self._duties.get(duty)
        if branch is None:
            check_name(duty)

            def elect(candidates: Mapping[str, int]) -> None:
                first = min(candidates, key=candidates.__getitem__, default=None)
                self._view.put_leader(duty, None if first is None else Lead(first, candidates[first]))

            branch = self._duties[duty] = Branch(
                self._session, f"{self._root}/leaders/{duty}", _decode_candidate, elect
            )
        if not branch.is_read:
            if not self._session.is_connected:
                raise Unavailable("not connected to ZooKeeper")
            await branch.refresh()
        return branch

    # --- values -----------------------------------------------------------------------------------

    async def read(self, key: str) -> Kept | None:
        return self._view.values.get(key)

    async def read_all(self, prefix: str) -> Mapping[str, Kept]:
        return self._view.below(prefix)

    async def write(self, key: str, value: bytes | None, version: int | None = None) -> int:
        check_write(key, value)
        name = key.replace("/", ":")
        for _ in range(ATTEMPTS):
            try:
                new = await self._write(f"{self._values.path}/{name}", value, version)
            except (BadVersionError, NodeExistsError, NoNodeError):
                continue  # somebody was faster: look again
            await self._see(self._values, name)
            return new
        raise Conflict(f"others write {key} all the time")

    async def _write(self, path: str, value: bytes | None, expected: int | None) -> int:
        """Raises what kazoo says when somebody else changed the value, or removed another, meanwhile."""
        await self._session.sync()
        found = await self._session.get(path)
        try:
            present = 0 if found is None else _version(found)
        except ValueError:
            raise Conflict("there is something that Longline has not written") from None
        if expected is not None and expected != present:
            raise Conflict(f"version {present} is in force, not {expected}")
        if found is not None and value is not None:
            base = _base(found)
            return base + 1 + await self._session.set(path, b"%d\n" % base + value, found.version)
        if found is None and value is None:
            return 0
        removed_path = f"{self._root}/removed"
        mark = await self._session.get(removed_path)
        if mark is None:
            await self._session.ensure(removed_path)
            raise NoNodeError
        removed = int(mark.data or b"0")

        def create(transaction: TransactionRequest) -> None:
            transaction.check(removed_path, mark.version)
            transaction.create(path, b"%d\n" % removed + (value or b""))

        def remove(transaction: TransactionRequest) -> None:
            transaction.set_data(removed_path, b"%d" % max(removed, present), mark.version)
            transaction.delete(path, found.version if found is not None else -1)

        await self._session.commit(create if found is None else remove)
        return removed + 1 if found is None else 0

    def _put_values(self, entries: Mapping[str, Kept]) -> None:
        self._view.put_values({name.replace(":", "/"): kept for name, kept in entries.items()})

    async def changed(self, seen: int) -> int:
        return await self._view.changed(seen)

    # --- following --------------------------------------------------------------------------------

    async def _see(self, branch: Followed, name: str, *, others: bool = False) -> None:
        """Has our own change in view before it is answered; it is made, whether that works or not."""
        branch.suspect(name, others=others)
        with contextlib.suppress(Unavailable):
            await branch.refresh()

    async def _follow(self) -> None:
        pause: float | None = RETRY_AFTER
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            self._woken.clear()
            try:
                pause = await self._catch_up()
            except Unavailable as error:
                log.debug("view_not_read", error=error.message)
                pause = RETRY_AFTER
            except Exception as error:  # an old view is better than none
                self._faults.note("keeper.follow", error)
                pause = RETRY_AFTER

    async def _catch_up(self) -> float | None:
        """Reads what is due; seconds until the next will be, None when that is nothing that we know of."""
        if not self._session.is_connected:
            return None  # `connected` wakes us
        if self._rebuild:
            await self._read_anew()
        rests = []
        for branch in self._branches():
            rest = branch.due_in(asyncio.get_running_loop().time())
            if rest == 0:
                await branch.refresh()
            elif rest is not None:
                rests.append(rest)
        return min(rests, default=None)

    async def _read_anew(self) -> None:
        """All that is followed. Raises `Unavailable`; it is to be done again then."""
        epoch = self._session.epoch
        self._rebuild = False
        try:
            await self._session.sync()  # another server may be behind the one that we have lost
            for branch in self._branches():
                branch.suspect_all()
            for branch in self._branches():
                await branch.refresh()
        except BaseException:
            self._rebuild = True
            raise
        if epoch == self._session.epoch and not self._current:
            self._current = True
            self.touched()

    def _branches(self) -> list[Followed]:
        return [self._members, self._values, *self._duties.values()]

    # --- what the session says ----------------------------------------------------------------------

    def connected(self) -> None:
        """Watches went with the former connection."""
        self._rebuild = True
        self._woken.set()

    def lost(self) -> None:
        """ZooKeeper has taken the members of this process for dead."""
        self._current = False
        gone = set(self._names.not_dead())
        self._names.die(gone)
        self._members.forget(gone)
        for duty in self._duties.values():
            duty.forget(gone)
        self.touched()

    def touched(self) -> None:
        """Whoever leads may lead no more, or again."""
        if self.in_touch() is not self._was_in_touch:
            self._was_in_touch = not self._was_in_touch
            self._view.ring()

    def noticed(self, path: str, children: bool) -> None:
        """A watch fired."""
        now = asyncio.get_running_loop().time()
        if any(branch.noticed(path, children, now) for branch in self._branches()):
            self._woken.set()


def _decode_member(name: str, found: Found) -> Node | None:
    try:
        return msgspec.json.decode(found.data, type=Node)
    except msgspec.MsgspecError as error:
        log.warning("member_not_read", node=name, error=str(error))
        return None


def _decode_candidate(name: str, found: Found) -> int:
    return found.created


def _decode_value(name: str, found: Found) -> Kept | None:
    try:
        return Kept(found.data.partition(b"\n")[2], _version(found))
    except ValueError:
        log.warning("value_not_read", key=name)  # nothing of ours, so nothing that we would overwrite
        return None


def _base(found: Found) -> int:
    return int(found.data.partition(b"\n")[0])


def _version(found: Found) -> int:
    return _base(found) + found.version + 1
