"""Changes of shadows, whoever brings them: an app server what it desires, a device what it reports.

A shadow is read, merged (RFC 7396) and put back in the place of the version that was read; where somebody
else was faster, all of it is done again with what that one has left. Changes of one device that come together
are merged in their order and put back as one. A merge that changes nothing is no change: the version stays.

The room of a device is told when what is desired has changed. Where that cannot be said, the device gets it
on its next connection: the store knows what it has not seen.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from longline.bus.port import Bus
from longline.delivery.merge_patch import deeper_than, merged
from longline.errors import Conflict, DeviceNotFound, LonglineError, ShadowTooLarge, ValidationFailed
from longline.model.commands import Desired
from longline.model.devices import JsonObject
from longline.register.port import Register
from longline.saver.port.shadows import Changed, Shadow, ShadowChange, ShadowStore

ATTEMPTS: Final = 8  # at one device that others change, too

log = structlog.get_logger("longline.delivery")

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(JsonObject).decode


class ShadowBounds(msgspec.Struct, frozen=True):
    """What the two documents of a shadow may be: bytes of JSON of both together, and how deeply nested."""

    bytes: int = 32 * 1024
    depth: int = 16


class ShadowPatch(msgspec.Struct, frozen=True):
    """What to change of a device's shadow.

    `patch` has `desired`, `reported` or both. `version` is that which the shadow has to have; None for any.
    """

    app: int
    device: str
    ordinal: int
    patch: JsonObject
    version: int | None = None


class Shadows:
    """Changes shadows. `bounds` are in force from the next change on."""

    def __init__(self, store: ShadowStore, register: Register, bus: Bus, bounds: ShadowBounds) -> None:
        self._store = store
        self._register = register
        self._bus = bus
        self.bounds = bounds

    async def change(self, patches: Sequence[ShadowPatch]) -> list[Shadow | LonglineError]:
        """What has become of each shadow, or why it was not changed: each patch by itself.

        `DeviceNotFound`; `Conflict`, for another version than there is to be, or when others change it again
        and again; `ShadowTooLarge`; `ValidationFailed`. Raises what the store raises; then some changes may
        have been carried out, and the rooms may not have heard of them.
        """
        results: list[Shadow | LonglineError] = [Conflict(retry_after=1.0) for _ in patches]
        waiting: dict[tuple[int, int], list[int]] = {}
        for index, patch in enumerate(patches):
            waiting.setdefault((patch.app, patch.ordinal), []).append(index)
        desired: dict[tuple[int, str], None] = {}
        try:
            for _ in range(ATTEMPTS):
                if not waiting:
                    break
                waiting = await self._attempt(patches, waiting, results, desired)
        finally:
            await self._tell(desired)
        return results

    async def _attempt(
        self,
        patches: Sequence[ShadowPatch],
        waiting: dict[tuple[int, int], list[int]],
        results: list[Shadow | LonglineError],
        desired: dict[tuple[int, str], None],
    ) -> dict[tuple[int, int], list[int]]:
        """Changes each of these devices' shadows once; those at which somebody else was faster."""
        found = await self._find(list(waiting))
        changes: list[ShadowChange] = []
        for (app, ordinal), indexes in waiting.items():
            before = found[app, ordinal]
            if before is None:
                for index in indexes:
                    results[index] = DeviceNotFound()
                continue
            shadow = before
            for index in indexes:
                result = results[index] = self._patched(shadow, patches[index])
                if isinstance(result, Shadow):
                    shadow = result
            if shadow.version > before.version:
                changes.append(ShadowChange(app, ordinal, before.version, shadow))
        codes = await self._store.change(changes) if changes else []
        again: dict[tuple[int, int], list[int]] = {}
        for change, code in zip(changes, codes, strict=True):
            key = (change.app, change.ordinal)
            if code == Changed.DONE:
                if change.shadow.wanted > change.before:
                    desired[change.app, patches[waiting[key][0]].device] = None
                continue
            for index in waiting[key]:
                results[index] = DeviceNotFound() if code == Changed.NO_DEVICE else Conflict(retry_after=1.0)
            if code == Changed.CONFLICT:
                again[key] = waiting[key]
        return again

    async def _find(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Shadow | None]:
        ordinals: defaultdict[int, list[int]] = defaultdict(list)
        for app, ordinal in keys:
            ordinals[app].append(ordinal)
        found: dict[tuple[int, int], Shadow | None] = {}
        for app, wanted in ordinals.items():
            for ordinal, shadow in zip(wanted, await self._store.find(app, wanted), strict=True):
                found[app, ordinal] = shadow
        return found

    def _patched(self, shadow: Shadow, patch: ShadowPatch) -> Shadow | LonglineError:
        if patch.version is not None and patch.version != shadow.version:
            return Conflict("the shadow has another version by now")
        bounds = self.bounds
        documents: dict[str, bytes] = {"desired": shadow.desired, "reported": shadow.reported}
        for name, change in patch.patch.items():
            if deeper_than(change, bounds.depth):
                return ValidationFailed(
                    "the shadow is nested too deeply", details=[(name, f"at most {bounds.depth} levels")]
                )
            document = {} if change is None else merged(_decode(documents[name]), change)
            documents[name] = _encode(document)
        if sum(map(len, documents.values())) > bounds.bytes:
            return ShadowTooLarge(details=[("", f"at most {bounds.bytes} bytes of JSON")])
        if documents["desired"] == shadow.desired and documents["reported"] == shadow.reported:
            return shadow
        version = shadow.version + 1
        wanted = version if documents["desired"] != shadow.desired else shadow.wanted
        return Shadow(documents["desired"], documents["reported"], version, wanted, shadow.seen)

    async def _tell(self, devices: Sequence[tuple[int, str]] | dict[tuple[int, str], None]) -> None:
        """Tells the rooms of devices that something else is desired of them."""
        names: defaultdict[int, list[str]] = defaultdict(list)
        for app, device in devices:
            names[app].append(device)
        for app, wanted in names.items():
            try:
                bindings = await self._register.locate(app, wanted)
                for device, binding in zip(wanted, bindings, strict=True):
                    if binding is not None:
                        await self._bus.send(binding.node, [Desired(app, device)])
            except LonglineError as error:
                log.warning("shadow_untold", devices=len(wanted), code=error.code, error=error.message)
