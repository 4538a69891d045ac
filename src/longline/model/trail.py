"""What the audit log has of a change that was made through the HTTP API."""

from typing import Final

import msgspec

MAX_TEXT: Final = 256  # characters of each text in an entry


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change: who asked for it, and what became of that.

    `id` is a UUIDv7 in its 36-character form, so that ids stand in the order of time; `at` in ms. `key_id` is
    `admin`, `server`, or that of a named key. `route` is the method and the address with the names of its
    parameters. `app` is the name of the app that it is about, "" for none. `subject`: what of it was changed,
    such as a device; `detail`: to what, never a secret. `status` is the HTTP status of the answer, with the
    `code` of the error if it is one; 0 while the change is under way, and for one of which nobody knows
    whether it was made, since the process or the store died in the middle.
    """

    id: str
    at: int
    key_id: str
    key_name: str
    address: str
    request_id: str
    route: str
    app: str = ""
    subject: str = ""
    detail: str = ""
    status: int = 0
    code: str = ""


class TrailBounds(msgspec.Struct, frozen=True):
    """What is kept: so many entries, of one app at most a tenth of them, none older than `age` ms."""

    entries: int = 100_000
    age: int = 90 * 86_400_000

    @property
    def of_an_app(self) -> int:
        """Entries about one app, or about none."""
        return max(1, self.entries // 10)
