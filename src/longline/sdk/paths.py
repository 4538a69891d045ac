"""Paths of the API, and what their queries say."""

from datetime import datetime
from typing import TypeVar
from urllib.parse import quote

from longline import errors

Value = TypeVar("Value")


def given(**values: Value | None) -> dict[str, Value]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def told(at: datetime) -> str:
    """A moment, for a query or a body; ValueError for a time without its zone."""
    if at.tzinfo is None:
        raise ValueError("a datetime without a time zone is no moment: give an aware one")
    return at.isoformat()


def quoted(name: str) -> str:
    """A name as a part of a path; `ValidationFailed` for one that nothing has.

    A URL takes `.` and `..` for steps, also where they are percent-encoded [RFC 3986, 6.2.2.3]: to delete the
    device `..` would be to delete its app.
    """
    if name in ("", ".", "..") or "/" in name:
        raise errors.ValidationFailed(f"nothing can be called {name!r}")
    return quote(name, safe="")


def app_path(app: str) -> str:
    """An app."""
    return f"/v1/apps/{quoted(app)}"


def device_path(app: str, device: str) -> str:
    """One of its devices."""
    return f"{app_path(app)}/devices/{quoted(device)}"


def group_path(app: str, group: str) -> str:
    """One of its groups."""
    return f"{app_path(app)}/groups/{quoted(group)}"


def keys_path(app: str | None) -> str:
    """Named keys: of an app, or without one."""
    return "/v1/keys" if app is None else f"{app_path(app)}/keys"


def message_path(app: str, message_id: str) -> str:
    """A push."""
    return f"{app_path(app)}/messages/{quoted(message_id)}"


def schedule_path(app: str, schedule_id: str) -> str:
    """A schedule."""
    return f"{app_path(app)}/schedules/{quoted(schedule_id)}"


def webhook_path(app: str) -> str:
    """Where its events are sent."""
    return f"{app_path(app)}/webhook"
