"""The limits that are in force for each app, in one process."""

from longline.model.apps import App
from longline.model.limits import Limits
from longline.saver.port.inboxes import InboxBounds

_UNLIMITED = Limits()


class LimitsOfApps:
    """`defaults` hold for what an app has no limit of its own; they change with the settings."""

    def __init__(self, defaults: Limits = _UNLIMITED) -> None:
        self.defaults = defaults

    def of(self, app: App) -> Limits:
        """All of an app's."""
        return self.defaults.with_own(app.limits)

    def messages_per_second(self, app: App) -> int:
        """Asked for with each request, so by itself."""
        own = app.limits.messages_per_second
        return self.defaults.messages_per_second if own is None else own

    def requests(self, app: App) -> int:
        """Likewise."""
        own = app.limits.requests
        return self.defaults.requests if own is None else own

    def inbox(self, app: App) -> InboxBounds | None:
        """What may wait for a device of the app; None where the default holds."""
        own = app.limits
        if own.inbox_messages is None and own.inbox_bytes is None:
            return None
        limits = self.of(app)
        return InboxBounds(limits.inbox_messages, limits.inbox_bytes)

    def retention(self, app: App) -> int | None:
        """How long ledgers of the app are kept, in ms; None where the default holds."""
        own = app.limits.ledger_retention
        return None if own is None else own * 1000
