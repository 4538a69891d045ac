"""Gone with the engines' facades."""

from typing import Any

from longline.saver.port.apps import AppStore
from longline.saver.port.devices import DeviceStore
from longline.saver.port.events import EventStore
from longline.saver.port.inboxes import InboxStore
from longline.saver.port.ledgers import LedgerStore
from longline.saver.port.messages import MessageStore
from longline.saver.port.routing import RoutingStore

NAMES = {
    "apps": {
        "create": "create_app",
        "find": "find_app",
        "list": "list_apps",
        "update": "update_app",
        "delete": "delete_app",
    },
    "devices": {
        "put": "register",
        "find": "find_devices",
        "list": "list_devices",
        "count": "count_devices",
        "delete": "delete_device",
        "ban": "ban",
    },
    "messages": {"enqueue": "enqueue", "cancel": "cancel", "expire": "expire", "next_expiry": "next_expiry"},
    "inboxes": {
        "arrive": "arrive",
        "fetch": "fetch",
        "count": "count_pending",
        "settle": "settle",
        "advance": "advance",
    },
    "ledgers": {"status": "status", "deliveries": "deliveries"},
    "routing": {
        "assign": "assign",
        "finish": "finish",
        "unfinished": "unfinished",
        "unrouted": "unrouted",
        "complete": "complete",
    },
    "events": {"append": "record", "read": "read_events"},
}


class Ports:
    """The ports of an engine that has all methods in one class."""

    apps: AppStore
    devices: DeviceStore
    messages: MessageStore
    inboxes: InboxStore
    ledgers: LedgerStore
    routing: RoutingStore
    events: EventStore

    def adapt(self) -> Any:
        """Makes the ports."""
        for port, names in NAMES.items():
            setattr(self, port, _Port(self, names))
        return self


class _Port:
    def __init__(self, engine: object, names: dict[str, str]) -> None:
        self._engine = engine
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(name)
        return getattr(self._engine, self._names[name])
