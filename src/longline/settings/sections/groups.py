"""Settings of the section `groups`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import KIB, MIB, about


class GroupSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Groups for chat, and what is kept of what is said in them."""

    # What is said goes to each: a message to the largest group is as much work as ten thousand pushes.
    max_members: Annotated[
        int,
        about(
            "Members that a group may have; more are answered 422 `group_too_large`.",
            unit="devices",
            low=1,
            high=1_000_000,
        ),
    ] = 10_000
    # What a device that comes back may have to look through.
    max_device_groups: Annotated[
        int,
        about(
            "Groups that a device may be a member of; more are answered 422 `too_many_groups`.",
            unit="groups",
            low=1,
            high=100_000,
        ),
    ] = 1_000
    # Some screens of talk: what is older belongs into the app's own archive.
    history_messages: Annotated[
        int,
        about(
            "Messages of a group, the latest, that its history has.", unit="messages", low=0, high=1_000_000
        ),
    ] = 1_000
    history_bytes: Annotated[
        int,
        about(
            "Bytes of payload that the history of a group may have; the oldest go first, the latest stays.",
            unit="bytes",
            low=KIB,
            high=1024 * MIB,
        ),
    ] = 4 * MIB
    history_age: Annotated[
        int,
        about(
            "Seconds for which a message is in the history of its group.",
            unit="s",
            low=60,
            high=315_360_000,
        ),
    ] = 2_419_200
