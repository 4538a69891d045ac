"""`longline group`: groups for chat, who is in them, and what was said."""

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import payload_fields, payload_text, show_done, show_one, show_value
from longline.cli.pages import show_pages
from longline.cli.times import shown
from longline.cli.usage import Json
from longline.sdk.groups import GroupMembers, GroupMessage

group = App(name="group", help="Groups for chat: who is in them, and what was said.")


@group.command(name="create")
def group_create(app: str, name: str, /, *members: str, access: Access = LOCAL, json: Json = False) -> int:
    """Make a group of these devices; of one that there is, they are the members from now on."""
    found = access.ask(lambda center: center.put_group(app, name, list(members)))
    return show_one(found, _pairs, json=json)


@group.command(name="list")
def group_list(app: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print an app's groups, by name."""
    return access.ask(
        lambda center: show_pages(
            "groups",
            center.groups(app),
            ("group", "members", "messages"),
            lambda found: (found.group, str(found.size), str(found.sequence)),
            json=json,
        )
    )


@group.command(name="show")
def group_show(app: str, name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print who is in a group, and which of them are connected."""
    return show_one(access.ask(lambda center: center.group(app, name)), _pairs, json=json)


@group.command(name="add")
def group_add(app: str, name: str, /, *members: str, access: Access = LOCAL, json: Json = False) -> int:
    """Take devices into a group; how many are new is printed."""
    added = access.ask(lambda center: center.add_members(app, name, members))
    return show_value("added", added, json=json)


@group.command(name="remove")
def group_remove(app: str, name: str, /, *members: str, access: Access = LOCAL, json: Json = False) -> int:
    """Take devices out of a group; what waits for them is dropped. How many were in it is printed."""
    removed = access.ask(lambda center: center.remove_members(app, name, members))
    return show_value("removed", removed, json=json)


@group.command(name="messages")
def group_messages(
    app: str,
    name: str,
    /,
    *,
    after: Annotated[int, Parameter(help="Only what was said after this sequence.")] = 0,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print what was said in a group, in its order, as far as it is kept."""
    return access.ask(
        lambda center: show_pages(
            "messages",
            center.group_messages(app, name, after=after),
            ("sequence", "at", "sender", "message"),
            lambda said: (
                str(said.sequence),
                shown(said.at),
                said.sender or "",
                payload_text(said.payload),
            ),
            json=json,
            told=_as_told,
        )
    )


@group.command(name="delete")
def group_delete(app: str, name: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Delete a group with what was said in it; what waits for its members is dropped."""
    access.ask(lambda center: center.delete_group(app, name))
    return show_done("deleted", name, json=json)


def _pairs(found: GroupMembers) -> list[tuple[str, str]]:
    online = set(found.online)
    pairs = [("group", found.group), ("messages", str(found.sequence))]
    pairs += [("member", f"{name} (online)" if name in online else name) for name in found.members]
    return pairs


def _as_told(said: GroupMessage) -> dict[str, object]:
    fields = {name: value for name, value in msgspec.structs.asdict(said).items() if name != "payload"}
    return {**fields, **payload_fields(said.payload)}
