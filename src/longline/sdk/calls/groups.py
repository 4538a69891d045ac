"""Groups for chat."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import msgspec

from longline.model.devices import JsonObject
from longline.sdk.calls.http import Http
from longline.sdk.groups import GroupInfo, GroupMembers, GroupMessage
from longline.sdk.paths import app_path, group_path


class _Saying(msgspec.Struct):
    sequence: int
    message_id: str
    at: datetime
    content_type: str
    sender: str | None = None
    payload: str = ""
    payload_base64: bytes = b""


class _History(msgspec.Struct):
    messages: list[_Saying]
    next_after: int | None = None


class _GroupList(msgspec.Struct):
    groups: list[GroupInfo]
    next_cursor: str | None = None


class _Added(msgspec.Struct):
    added: int


class _Removed(msgspec.Struct):
    removed: int


class GroupCalls:
    """A part of `Center`."""

    _http: Http

    async def put_group(self, app: str, group: str, members: Sequence[str] | None = None) -> GroupMembers:
        """Makes a group, or takes it as it is; with `members`, exactly these are in it from now on.

        Raises `DeviceNotFound` when one of them does not exist; then nothing has changed.
        """
        body: JsonObject = {} if members is None else {"members": _listed(members)}
        return await self._http.call("PUT", group_path(app, group), GroupMembers, body=body, safe=True)

    async def group(self, app: str, group: str) -> GroupMembers:
        """A group with its members, and which of them are connected. Raises `GroupNotFound`."""
        return await self._http.call("GET", group_path(app, group), GroupMembers, safe=True)

    async def groups(self, app: str, *, page_size: int | None = None) -> AsyncIterator[GroupInfo]:
        """The app's groups by name, page by page."""
        path = f"{app_path(app)}/groups"
        params = {} if page_size is None else {"limit": page_size}
        async for page in self._http.pages(path, _GroupList, params):
            for group in page.groups:
                yield group

    async def delete_group(self, app: str, group: str) -> None:
        """Deletes a group with what was said in it; what waits for its members is dropped."""
        await self._http.call("DELETE", group_path(app, group), object, safe=False)

    async def add_members(self, app: str, group: str, members: Sequence[str]) -> int:
        """Takes up to 1000 devices into a group; how many were not in it. They get what is said from then on.

        Raises `DeviceNotFound` when one of them does not exist; then nobody was taken in.
        """
        path, body = f"{group_path(app, group)}/members:add", {"members": _listed(members)}
        return (await self._http.call("POST", path, _Added, body=body, safe=True)).added

    async def remove_members(self, app: str, group: str, members: Sequence[str]) -> int:
        """Takes up to 1000 devices out of a group; how many were in it. What waits for them is dropped."""
        path, body = f"{group_path(app, group)}/members:remove", {"members": _listed(members)}
        return (await self._http.call("POST", path, _Removed, body=body, safe=True)).removed

    async def group_messages(
        self, app: str, group: str, *, after: int = 0, page_size: int | None = None
    ) -> AsyncIterator[GroupMessage]:
        """What was said in a group after a sequence, in order, as far as it is kept. Ends with the latest."""
        path = f"{group_path(app, group)}/messages"
        while True:
            params: dict[str, str | int] = {"after": after}
            if page_size is not None:
                params["limit"] = page_size
            page = await self._http.call("GET", path, _History, params=params, safe=True)
            for said in page.messages:
                yield GroupMessage(
                    sequence=said.sequence,
                    message_id=said.message_id,
                    sender=said.sender,
                    at=said.at,
                    content_type=said.content_type,
                    payload=said.payload_base64 or said.payload.encode(),
                )
            if page.next_after is None:
                return
            after = page.next_after


def _listed(members: Sequence[str]) -> list[str]:
    if isinstance(members, str):
        # A string is a sequence of strings too: these would be devices of one letter.
        raise ValueError("members is a list of names, not one name")
    return list(members)
