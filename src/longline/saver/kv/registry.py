"""Devices: who is registered in which app, with which ordinal and profile.

A device is in the partition of its name; what a partition knows of it is described in
`saver/lua/devices.lua`. Every script first asks whether the app was deleted.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence

import msgspec

from longline.errors import AppNotFound
from longline.model.devices import Device, JsonObject, Profile
from longline.model.messages import MAX_TTL
from longline.saver.kv import layout
from longline.saver.kv.apps import LUA, TOKEN, Apps
from longline.saver.port.devices import Registration
from longline.store.redis import Script, Store

REGISTER = Script(LUA, "register.lua")
FIND_DEVICES = Script(LUA, "find_devices.lua")
LIST_DEVICES = Script(LUA, "list_devices.lua")
COUNT_DEVICES = Script(LUA, "count_devices.lua")
DELETE_DEVICE = Script(LUA, "delete_device.lua")
BAN = Script(LUA, "ban.lua")

STEPS = 1000  # places, or sets of a label, that one script looks at
LABEL_KINDS = (b"0", b"1")  # tag, alias

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


class Registry:
    """Fulfils what `Saver` says of devices, but for `arrive`.

    `retention_ms`: how long ledgers are kept after a message's end. The name of a deleted device stays for as
    long as there may be a ledger with it.
    """

    def __init__(self, store: Store, apps: Apps, retention_ms: int) -> None:
        self._store = store
        self._apps = apps
        self._names_kept = MAX_TTL * 1000 + retention_ms

    async def register(self, app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        """Devices of one partition are registered in one step."""
        name = await self._apps.name_of(app)
        if name is None:
            raise AppNotFound(f"there is no app {app}")
        profiles = {item.device: item.profile for item in batch}  # of a name given twice, the last counts
        devices: dict[str, Device] = {}
        parts = _by_partition(self._store, app, profiles)
        replies = await asyncio.gather(
            *(
                self._store.run(
                    layout.tag(partition),
                    REGISTER,
                    [layout.prefix(partition)],
                    [
                        app,
                        now,
                        *(field for device in part for field in (device, *_packed(profiles[device]))),
                    ],
                    durable=True,
                )
                for partition, part in parts.items()
            )
        )
        for (partition, part), reply in zip(parts.items(), replies, strict=True):
            if reply is None:
                raise AppNotFound(f"there is no app {app}")
            rows = msgspec.convert(reply, list[tuple[int, bytes]])
            for device, (place, created_at) in zip(part, rows, strict=True):
                devices[device] = Device(
                    app=name,
                    device=device,
                    ordinal=place * self._store.partitions + partition,
                    profile=profiles[device],
                    created_at=int(created_at),
                )
        return [devices[item.device] for item in batch]

    async def find_devices(self, app: int, names: Sequence[str]) -> list[Device | None]:
        """One script in each partition that one of the names falls into."""
        name = await self._apps.name_of(app) if names else None
        if name is None:
            return [None] * len(names)
        parts = _by_partition(self._store, app, dict.fromkeys(names))
        replies = await asyncio.gather(
            *(
                self._store.run(
                    layout.tag(partition),
                    FIND_DEVICES,
                    [layout.prefix(partition)],
                    [app, *part],
                )
                for partition, part in parts.items()
            )
        )
        devices: dict[str, Device] = {}
        for (partition, part), reply in zip(parts.items(), replies, strict=True):
            for device, row in zip(part, msgspec.convert(reply, list[_Found | None]), strict=True):
                if row is not None:
                    place, created_at, labels, rest = row
                    devices[device] = Device(
                        app=name,
                        device=device,
                        ordinal=int(place) * self._store.partitions + partition,
                        profile=_profile(labels, rest),
                        created_at=int(created_at),
                    )
        return [devices.get(device) for device in names]

    async def list_devices(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        """Partitions are asked side by side for a share of the page, and again where they lag behind it."""
        name = await self._apps.name_of(app)
        if name is None or limit <= 0:
            return []
        labels = [
            part
            for kind, value in zip(LABEL_KINDS, (tag, alias), strict=True)
            if value is not None
            for part in (kind, value.encode())
        ]
        count = self._store.partitions
        devices: list[Device] = []
        # The first place in each partition whose ordinal is above `after`.
        places = {partition: (after - partition) // count + 1 for partition in range(count)}
        asked = list(places)
        share = limit // count + 2
        while asked:
            replies = await asyncio.gather(
                *(
                    self._store.run(
                        layout.tag(partition),
                        LIST_DEVICES,
                        [layout.prefix(partition)],
                        [app, places[partition], min(share, limit), STEPS, *labels],
                    )
                    for partition in asked
                )
            )
            for partition, reply in zip(asked, replies, strict=True):
                following, rows = msgspec.convert(reply, tuple[int, list[_Listed]])
                devices += [_listed(name, row, count, partition) for row in rows]
                if following < 0:
                    del places[partition]
                else:
                    places[partition] = following
            devices.sort(key=lambda device: device.ordinal)
            devices = devices[:limit]
            last = devices[-1].ordinal if len(devices) == limit else None
            asked = [
                partition
                for partition, place in places.items()
                if last is None or place * count + partition < last
            ]
            share *= 2
        return devices

    async def count_devices(self, app: int) -> int:
        """The sum over all partitions."""
        counts = await asyncio.gather(
            *(
                self._store.run(
                    layout.tag(partition),
                    COUNT_DEVICES,
                    [layout.prefix(partition)],
                    [app],
                )
                for partition in range(self._store.partitions)
            )
        )
        return sum(msgspec.convert(counts, list[int]))

    async def delete_device(self, app: int, device: str, now: int) -> bool:
        """One step: what is pending is dropped, and nobody finds the device any more."""
        partition = self._store.partition_of(app, device)
        deleted = await self._store.run(
            layout.tag(partition),
            DELETE_DEVICE,
            [layout.prefix(partition)],
            [app, device, now, self._names_kept, os.urandom(TOKEN)],
            durable=True,
        )
        return deleted == 1

    async def ban(self, app: int, device: str, until: int) -> bool:
        """A number beside the device."""
        partition = self._store.partition_of(app, device)
        banned = await self._store.run(
            layout.tag(partition),
            BAN,
            [layout.prefix(partition)],
            [app, device, until],
            durable=True,
        )
        return banned == 1


def _by_partition(store: Store, app: int, devices: Iterable[str]) -> dict[int, list[str]]:
    parts: dict[int, list[str]] = {}
    for device in devices:
        parts.setdefault(store.partition_of(app, device), []).append(device)
    return parts


def _packed(profile: Profile) -> tuple[bytes, bytes]:
    """Labels and the rest of a profile; empty for none."""
    labels = _pack_labels((profile.tags, profile.aliases)) if profile.tags or profile.aliases else b""
    rest = _Rest(profile.attributes, profile.timezone, profile.platform)
    return labels, _pack_rest(rest) if rest != _Rest() else b""


def _profile(labels: bytes | None, rest: bytes | None) -> Profile:
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


def _listed(app: str, row: _Listed, partitions: int, partition: int) -> Device:
    place, device, created_at, labels, rest = row
    return Device(
        app=app,
        device=device.decode(),
        ordinal=place * partitions + partition,
        profile=_profile(labels, rest),
        created_at=int(created_at),
    )
