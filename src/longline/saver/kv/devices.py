"""Devices: who is registered in which app, with which ordinal and profile.

A device is in the partition of its name; what a partition knows of it is described in
`lua/devices.lua`. Every script first asks whether the app was deleted.
"""

import os
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from longline.errors import AppNotFound
from longline.model.devices import Device, JsonObject, Profile
from longline.model.messages import MAX_TTL
from longline.saver.kv.apps import TOKEN, KvApps
from longline.saver.kv.changes import GoneDevice
from longline.saver.kv.events import KvEvents
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.retained import KvRetained
from longline.saver.kv.webhooks import KvWebhooks
from longline.saver.labels import ALIAS, TAG, bits_of, is_number, name_label, word_label
from longline.saver.port.devices import Registration
from longline.store.redis import Reply, Word
from longline.store.scatter import Spare, scatter
from longline.telemetry.faults import Faults

PUT = script("put_devices.lua")
FIND = script("find_devices.lua")
LIST = script("list_devices.lua")
NAMES = script("name_devices.lua")
COUNT = script("count_devices.lua")
UPDATE = script("update_device.lua")
DELETE = script("delete_device.lua")
BAN = script("ban.lua")

STEPS = 1000  # places that one script looks at, and 64 times as many in the sets of labels
_pack_labels = msgspec.msgpack.Encoder().encode
_unpack_labels = msgspec.msgpack.Decoder(tuple[tuple[str, ...], tuple[str, ...]]).decode


class _Rest(msgspec.Struct, omit_defaults=True):
    """What of a profile no script looks into."""

    attributes: JsonObject = {}
    timezone: str | None = None
    platform: str | None = None


_pack_rest = msgspec.json.Encoder().encode
_unpack_rest = msgspec.json.Decoder(_Rest).decode

_Found = tuple[bytes, bytes, bytes | None, bytes | None]  # place, created at, labels, rest
_Listed = tuple[int, bytes, bytes, bytes | None, bytes | None]  # place, name, created at, labels, rest


class KvDevices:
    """Fulfils `DeviceStore`.

    `retention`: ms for which ledgers are kept after a message's end. The name of a deleted device stays for
    as long as there may be a ledger with it.
    """

    def __init__(
        self,
        partitions: Partitions,
        apps: KvApps,
        events: KvEvents,
        webhooks: KvWebhooks,
        retained: KvRetained,
        retention: int,
        faults: Faults,
    ) -> None:
        self._retained = retained
        self._partitions = partitions
        self._apps = apps
        self._events = events
        self._webhooks = webhooks
        self._names_kept = MAX_TTL * 1000 + retention
        self._spare: Spare[str, Device | None] = Spare(faults, "saver.devices", lambda device: None)

    async def put(self, app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        """Devices of one partition are registered in one step, those of several side by side."""
        name = await self._apps.name_of(app)
        if name is None:
            raise AppNotFound(f"there is no app {app}")
        profiles = {item.device: item.profile for item in batch}  # of a name given twice, the last counts
        count = self._partitions.count

        def ask(partition: int, part: Sequence[str]) -> Awaitable[Reply]:
            args: list[Word] = [app, now]
            for device in part:
                args += device, *_packed(profiles[device])
            return self._partitions.run(partition, PUT, args, durable=True, work=len(part))

        def read(partition: int, part: Sequence[str], reply: Reply) -> list[Device]:
            if reply is None:
                raise AppNotFound(f"there is no app {app}")
            rows = msgspec.convert(reply, list[tuple[int, bytes]])
            return [
                Device(
                    app=name,
                    device=device,
                    ordinal=place * count + partition,
                    profile=profiles[device],
                    created_at=int(created_at),
                )
                for device, (place, created_at) in zip(part, rows, strict=True)
            ]

        names = list(profiles)
        devices = dict(zip(names, await scatter(names, self._of(app), ask, read), strict=True))
        return [devices[item.device] for item in batch]

    async def update(self, app: int, before: Device, profile: Profile) -> bool:
        """Compares and replaces in one step."""
        partition = self._partitions.of(app, before.device)
        place = before.ordinal // self._partitions.count
        labels, rest, _ = _packed(before.profile)
        args: list[Word] = [app, before.device, place, labels, rest, *_packed(profile)]
        return await self._partitions.run(partition, UPDATE, args, durable=True) == 1

    async def find(self, app: int, names: Sequence[str]) -> list[Device | None]:
        """One script in each partition that a name falls into. What nobody can read is not found."""
        name = await self._apps.name_of(app) if names else None
        if name is None:
            return [None] * len(names)
        count = self._partitions.count

        def ask(partition: int, part: Sequence[str]) -> Awaitable[Reply]:
            return self._partitions.run(partition, FIND, [app, *part], work=len(part))

        def read(partition: int, part: Sequence[str], reply: Reply) -> list[Device | None]:
            return [
                _device(name, device, int(row[0]) * count + partition, *row[1:]) if row is not None else None
                for device, row in zip(part, msgspec.convert(reply, list[_Found | None]), strict=True)
            ]

        return await scatter(names, self._of(app), ask, read, self._spare)

    async def named(self, app: int, prefix: str, after: str, limit: int) -> list[Device]:
        """A page of all partitions' names; then the devices, in the partitions that have them."""
        devices: list[Device] = []
        while len(devices) < limit:  # again, where some were deleted between their names and them
            names = await self._partitions.names(NAMES, [app, prefix], after, limit - len(devices))
            if not names:
                break
            found = await self.find(app, names)
            devices += [device for device in found if device is not None]
            after = names[-1]
        return devices

    async def count(self, app: int) -> int:
        """The sum over all partitions."""
        return sum(msgspec.convert(await self._partitions.run_all(COUNT, [app]), list[int]))

    async def delete(self, app: int, device: str, now: int) -> bool:
        """What no webhook's target took of it, and what it has retained, goes first, elsewhere. Then it is
        one step: what is pending is dropped, and nobody finds the device any more. Then another, which makes
        its events unread; who is cut short in between leaves that to `KvEvents.carry`."""
        if (await self.find(app, [device]))[0] is None:
            return False
        await self._webhooks.forget_dead(app, device)
        await self._retained.leave(app, [device], now)
        kept = max(self._names_kept, MAX_TTL * 1000 + (await self._apps.retentions()).get(app, 0))
        args: list[Word] = [app, device, now, kept, os.urandom(TOKEN)]
        reply = await self._partitions.run(self._partitions.of(app, device), DELETE, args, durable=True)
        number = int(msgspec.convert(reply, bytes))
        if number:
            await self._retained.leave(app, [device], now)  # what it has published in that moment
            await self._events.hide([GoneDevice(app, device, number)])
        return number > 0

    async def ban(self, app: int, device: str, until: int) -> bool:
        """A number beside the device."""
        args: list[Word] = [app, device, until]
        return await self._partitions.run(self._partitions.of(app, device), BAN, args, durable=True) == 1

    def _of(self, app: int) -> Callable[[str], int]:
        return lambda device: self._partitions.of(app, device)

    async def list(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        """A page of all partitions. A device that nobody can read is left out."""
        name = await self._apps.name_of(app)
        if name is None or limit <= 0:
            return []
        labels: list[Word] = []
        for kind, value in ((TAG, tag), (ALIAS, alias)):
            if value is not None:
                labels += kind, value
        count = self._partitions.count

        def words(partition: int, ordinal: int, most: int) -> list[Word]:
            return [app, self._partitions.place_from(partition, ordinal), most, STEPS, *labels]

        def read(partition: int, reply: Reply) -> tuple[list[Device], int | None]:
            following, rows = msgspec.convert(reply, tuple[int, list[_Listed]])
            devices: list[Device] = []
            for row in rows:
                try:
                    devices.append(_device(name, row[1].decode(), row[0] * count + partition, *row[2:]))
                except Exception as error:
                    self._spare.faults.note(self._spare.place, error)
            return devices, None if following < 0 else following * count + partition

        return await self._partitions.page(
            LIST, range(count), after + 1, limit, words, read, lambda device: device.ordinal
        )


def _packed(profile: Profile) -> tuple[bytes, bytes, bytes]:
    """Labels, the rest of a profile, and what of that is indexed; empty for none."""
    labels = _pack_labels((profile.tags, profile.aliases)) if profile.tags or profile.aliases else b""
    rest = _Rest(profile.attributes, profile.timezone, profile.platform)
    return labels, _pack_rest(rest) if rest != _Rest() else b"", what_is_indexed(profile)


def what_is_indexed(profile: Profile) -> bytes:
    """What `lua/labels.lua` reads: platform, attributes' names, words, names and numbers' bits, zone."""
    if profile.platform is None and profile.timezone is None and not profile.attributes:
        return b""
    names: list[str] = []
    words: list[str] = []
    numbers: list[str] = []
    for name, value in profile.attributes.items():
        label = name_label(name)
        names.append(label)
        if isinstance(value, bool | str):
            words.append(word_label(name, value))
        elif is_number(value):
            numbers += label, f"{bits_of(value):016x}"
    platforms = [] if profile.platform is None else [profile.platform]
    zones = [] if profile.timezone is None else [profile.timezone]
    return _pack_labels((platforms, names, words, numbers, zones))


def profile_of(labels: bytes | None, rest: bytes | None) -> Profile:
    """The profile whose labels and rest these are."""
    if labels is None and rest is None:
        return Profile()
    tags, aliases = _unpack_labels(labels) if labels else ((), ())
    other = _unpack_rest(rest) if rest else _Rest()
    return Profile(
        aliases=aliases,
        tags=tags,
        attributes=other.attributes,
        timezone=other.timezone,
        platform=other.platform,
    )


def _device(
    app: str, name: str, ordinal: int, created_at: bytes, labels: bytes | None, rest: bytes | None
) -> Device:
    return Device(
        app=app,
        device=name,
        ordinal=ordinal,
        profile=profile_of(labels, rest),
        created_at=int(created_at),
    )
