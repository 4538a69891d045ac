"""Who owns a device's session now: what an earlier owner still says of the device is not heard."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from longline.model.devices import Binding
from longline.saver.sql.database import Database

_addresses = msgspec.json.Decoder(list[tuple[int, str]])

Locate = Callable[[int, Sequence[str]], Sequence[Binding | None]]


class Fence:
    """Asks the session table, which knows devices by name, about devices by key."""

    def __init__(self, database: Database, locate: Locate) -> None:
        self._database = database
        self._locate = locate

    def owners(self, devices: Iterable[int]) -> dict[int, int]:
        """The epoch of the session that owns each device; those that nobody owns are left out."""
        keys = tuple(set(devices))
        if not keys:
            return {}
        found = self._database.text(
            "SELECT json_group_array(json_array(device, address)) FROM carray(?1)"
            " CROSS JOIN devices ON device = value",
            keys,
        )
        apps: dict[int, dict[str, int]] = {}
        for key, address in _addresses.decode(found):
            apps.setdefault(key >> 32, {})[address.partition("/")[2]] = key
        return {
            key: binding.epoch
            for app, names in apps.items()
            for key, binding in zip(names.values(), self._locate(app, list(names)), strict=True)
            if binding is not None
        }
