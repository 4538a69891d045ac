"""How a connection begins: socket, TLS, credentials, and what the server says of itself."""

import asyncio
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from longline.errors import SettingsError, StoreError, Unavailable
from longline.settings import StoreSettings
from longline.store.addresses import Address, Contacts
from longline.store.calls import Reply
from longline.store.connection import Pack, ReplyReader, ServerConnection
from longline.store.script import Script

_REFUSED: Final = ("WRONGPASS", "NOAUTH", "NOPERM")
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


@dataclass(frozen=True)
class Facts:
    """What a server said of itself when the connection was made.

    `run` differs after every start of the server. `append_only` and `append_fsync` are its settings of these
    names, None where asking for them is forbidden.
    """

    run: bytes
    client: int
    version: str
    cluster: bool
    master: bool
    append_only: str | None
    append_fsync: str | None

    @property
    def synced(self) -> bool:
        """Whether every write is on the server's disk before it is answered."""
        return self.append_only == "yes" and self.append_fsync == "always"


class Dial:
    """Opens connections that are ready for calls."""

    def __init__(
        self, settings: StoreSettings, contacts: Contacts, pack: Pack, reader: Callable[[], ReplyReader]
    ) -> None:
        self.patience = settings.timeout / 2  # seconds for a connection to be ready, or to say something
        self._settings = settings
        self._tls = contacts.tls
        self._pack = pack
        self._reader = reader

    async def open(
        self, address: Address, scripts: Collection[Script] = (), before: Facts | None = None
    ) -> tuple[ServerConnection, Facts]:
        """A connection with `scripts` loaded.

        `before`: what the server said on the connection that this one replaces. When the server still has
        that one it is ended there first, so that calls which went over it and were not carried out yet
        never will be, behind the back of those to come.

        Raises `OSError`, `Unavailable` (no answer, still loading, a replica alone) or `SettingsError`
        (credentials refused).
        """
        connection: ServerConnection | None = None
        try:
            async with asyncio.timeout(self.patience):
                connection = await self._connect(address)
                facts = await self._greet(connection)
                if before is not None and before.run == facts.run:
                    await _tolerant(connection, "CLIENT", "KILL", "ID", before.client)
                connection.load(scripts)
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, TimeoutError):
                raise Unavailable(f"the store at {address} does not answer") from error
            raise
        return connection, facts

    async def _connect(self, address: Address) -> ServerConnection:
        loop = asyncio.get_running_loop()
        if not address.port:
            _, connection = await loop.create_unix_connection(self._unconnected, address.host)
            return connection
        transport, connection = await loop.create_connection(self._unconnected, *address, ssl=self._tls)
        # A host that vanished is noticed on an idle connection too.
        peer = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                peer.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection

    def _unconnected(self) -> ServerConnection:
        return ServerConnection(self._pack, self._reader())

    async def _greet(self, connection: ServerConnection) -> Facts:
        settings = self._settings
        if settings.password is not None:
            user = () if settings.username is None else (settings.username,)
            try:
                await connection.ask("AUTH", *user, settings.password.reveal())
            except StoreError as error:
                # The reply is not quoted: servers repeat the words of a command that they do not know.
                raise _credentials(f"the store refused them ({error.word})") from None
        try:
            client, info, config, _ = await asyncio.gather(
                connection.ask("CLIENT", "ID"),
                connection.ask("INFO"),
                _tolerant(connection, "CONFIG", "GET", "append*"),
                _tolerant(connection, "CLIENT", "SETNAME", "longline"),
            )
        except StoreError as error:
            if error.word in _REFUSED:
                raise _credentials(f"the store wants others ({error.word})") from None
            raise Unavailable(f"the store cannot be used yet ({error.word})") from error
        facts = _facts(client, info, config)
        if not facts.cluster and not facts.master:
            raise Unavailable("this server of the store is a replica")
        return facts


def _facts(client: Reply, info: Reply, config: Reply) -> Facts:
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    lines = dict(line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    if lines.get("loading") == "1":
        raise Unavailable("the store is loading its data")
    words = [word.decode() for word in config if isinstance(word, bytes)] if isinstance(config, list) else []
    options = dict(zip(words[::2], words[1::2], strict=False))
    return Facts(
        run=lines.get("run_id", "").encode(),
        client=client if isinstance(client, int) else 0,
        version=lines.get("valkey_version") or lines.get("redis_version", ""),
        cluster=lines.get("cluster_enabled") == "1",
        master=lines.get("role", "master") == "master",
        append_only=options.get("appendonly"),
        append_fsync=options.get("appendfsync"),
    )


async def _tolerant(connection: ServerConnection, *command: str | int) -> Reply:
    """Asks for what an ACL may forbid; None when it does."""
    try:
        return await connection.ask(*command)
    except StoreError:
        return None


def _credentials(reason: str) -> SettingsError:
    return SettingsError(f"store.username and store.password: {reason}", details=[("store.password", reason)])
