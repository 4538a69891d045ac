"""Webhooks: those of an app in one partition, its home, of which there are eight in all.

- `wh:<app>` HASH: v version, b the webhook, c how many dead events there are, y their bytes, d how many were
  dropped.
- `whs` ZSET app → app, of those that have one here.
- `whe:<app>` HASH number → dead event: its device, with its length; then all of it, packed.
- `whd:<app>` ZSET of their numbers. `whr:<app>` likewise of those that are to be sent once more.
- `whn:<app>` HASH device → how many of them are its.

Homes are few, because who sends to all of them looks for what has changed every second.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from longline.model.webhooks import DeadBounds, DeadEvent, DeadTotals, Webhook
from longline.saver.kv.apps import KvApps
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.routing import a_token
from longline.saver.port.webhooks import PAGE_BYTES, DeadPage, WebhookChange, WebhookMark
from longline.saver.sealing import Seals
from longline.store.redis import Word
from longline.telemetry.faults import Faults

FIND = script("find_webhook.lua")
LIST = script("list_webhooks.lua")
CHANGE = script("change_webhook.lua")
REMOVE = script("remove_webhook.lua")
LIST_DEAD = script("list_dead.lua")
REPLAY = script("replay_dead.lua")
FORGET = script("forget_dead.lua")

SPREAD: Final = 8  # homes

_pack = msgspec.msgpack.Encoder().encode
_webhook = msgspec.msgpack.Decoder(Webhook).decode
_dead = msgspec.msgpack.Decoder(DeadEvent).decode


class KvWebhooks:
    """Fulfils `WebhookStore`."""

    def __init__(
        self, partitions: Partitions, apps: KvApps, bounds: DeadBounds, seals: Seals, faults: Faults
    ) -> None:
        self._partitions = partitions
        self._apps = apps
        self._bounds = bounds
        self._seals = seals
        self._faults = faults
        count = partitions.count
        spread = min(SPREAD, count)
        self._homes = [part * count // spread for part in range(spread)]

    def _home_of(self, app: int) -> int:
        return self._homes[app % len(self._homes)]

    async def find(self, app: int) -> tuple[Webhook, DeadTotals] | None:
        """One read."""
        found = await self._stored(app)
        return None if found is None else (self._seals.open_webhook(found[0]), found[1])

    async def _stored(self, app: int) -> tuple[Webhook, DeadTotals] | None:
        """As it is stored, not opened."""
        reply = await self._partitions.run(self._home_of(app), FIND, [app])
        if not reply:
            return None
        body, *totals = msgspec.convert(reply, tuple[bytes, int, int, int, int])
        return _webhook(body), DeadTotals(*totals)

    async def marks(self, after: int, limit: int) -> Sequence[WebhookMark]:
        """Asks all homes, and takes the first of what they say; of those that cannot be reached, none."""
        calls = [self._partitions.run(home, LIST, [after, limit]) for home in self._homes]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        errors = [reply for reply in replies if isinstance(reply, BaseException)]
        if len(errors) == len(replies):
            raise errors[0]
        found: list[WebhookMark] = []
        for reply in replies:
            if isinstance(reply, BaseException):
                continue
            words = msgspec.convert(reply, list[int])
            found += [WebhookMark(*row) for row in zip(words[::3], words[1::3], words[2::3], strict=True)]
        return sorted(found, key=lambda mark: mark.app)[:limit]

    async def change(self, change: WebhookChange) -> bool:
        """Compares and replaces."""
        webhook = change.webhook
        app = webhook.app
        if change.before == 0 and await self._apps.name_of(app) is None:
            return False
        args: list[Word] = [app, change.before, webhook.version, _pack(self._seals.seal_webhook(webhook))]
        args += self._bounds.events, self._bounds.bytes
        args += len(change.dead), len(change.taken), len(change.refused)
        for dead in change.dead:
            args += dead.cursor, _member(dead)
        args += change.taken
        args += change.refused
        return await self._partitions.run(self._home_of(app), CHANGE, args, durable=True) == 1

    async def seal(self, app: int) -> bool:
        """Compares versions, and replaces; again where somebody else was faster."""
        while True:
            found = await self._stored(app)
            if found is None or self._seals.latest(found[0]):
                return False
            webhook = self._seals.open_webhook(found[0])
            if await self.change(WebhookChange(webhook, webhook.version)):
                return True

    async def remove(self, app: int) -> bool:
        """One script."""
        return await self._partitions.run(self._home_of(app), REMOVE, [app, a_token()], durable=True) == 1

    async def dead(self, app: int, after: str, limit: int, *, again: bool = False) -> DeadPage:
        """By number. What nobody can read is left out."""
        behind = after if after.isascii() and after.isdigit() and len(after) < 19 else "0"
        args: list[Word] = [app, behind, limit, PAGE_BYTES, int(again)]
        reply = await self._partitions.run(self._home_of(app), LIST_DEAD, args)
        more, *words = msgspec.convert(reply, list[int | bytes])
        events: list[DeadEvent] = []
        for member, mark in zip(words[1::3], words[2::3], strict=True):
            try:
                assert isinstance(member, bytes)
                dead = _dead(member[2 + int.from_bytes(member[:2]) :])
                events.append(msgspec.structs.replace(dead, again=mark == 1))
            except Exception as error:
                self._faults.note("saver.webhooks", error)
        return DeadPage(tuple(events), more == 1)

    async def replay(self, app: int, cursors: Sequence[str] | None) -> int:
        """One script."""
        args: list[Word] = [app, int(cursors is None), *(cursors or ())]
        return msgspec.convert(
            await self._partitions.run(self._home_of(app), REPLAY, args, durable=True), int
        )

    async def forget_dead(self, app: int, device: str) -> None:
        """Forgets the dead events of a device; nothing to do, for most."""
        await self._partitions.run(self._home_of(app), FORGET, [app, device], durable=True)


def _member(dead: DeadEvent) -> bytes:
    device = dead.event.device.encode()
    return len(device).to_bytes(2) + device + _pack(msgspec.structs.replace(dead, again=False))
