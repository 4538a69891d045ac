"""Settings of the section `limits`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import about


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What each app may have that has no limit of its own (`PUT /v1/apps/{app}/limits`); 0 is without limit.

    Limits on what is stored for an app have their defaults in `saver`: `inbox_messages`, `inbox_bytes`,
    `retained_messages`, `retained_bytes`, `waiting_messages`, `schedules` and `ledger_retention`.
    """

    # What a machine of two cores is to take in. Who has several apps that send all they can, and means them
    # to hardly notice each other, sets it to what one of them is to have.
    messages_per_second: Annotated[
        int,
        about(
            "Messages of one app that are taken in, over all processes, with a second's worth at once; one "
            "to several devices or aliases counts for each of them. A request beyond it is answered 429, and "
            "what is due later waits.",
            unit="messages/s",
            low=0,
            high=10_000_000,
            dynamic=True,
        ),
    ] = 50_000
    # Rooms go by their own pace already, which is as fast as they can without harm to anybody.
    deliveries_per_second: Annotated[
        int,
        about(
            "Deliveries of one app's messages to everyone, tags and groups to devices that are connected, in "
            "all rooms together; such messages are spread over the time that takes.",
            unit="deliveries/s",
            low=0,
            high=100_000_000,
            dynamic=True,
        ),
    ] = 0
    devices: Annotated[
        int,
        about(
            "Registered devices of one app; one more is answered 429 `too_many_devices`, and its CONNECT "
            "return code 3, reason 0x97.",
            unit="devices",
            low=0,
            high=4_000_000_000,
            dynamic=True,
        ),
    ] = 10_000_000
    # Most clusters serve few apps, all of one owner: what they can hold is theirs.
    connections: Annotated[
        int,
        about(
            "Devices of one app that are connected, in all rooms together; the CONNECT of one more is "
            "answered return code 3, reason 0x97. `room.max_connections_per_app` bounds those of one room.",
            unit="connections",
            low=0,
            high=4_000_000_000,
            dynamic=True,
        ),
    ] = 0
    sessions: Annotated[
        int,
        about(
            "MQTT sessions of one app that outlive their connections, connected or not; a CONNECT that asks "
            "for one more is answered return code 3, reason 0x97.",
            unit="sessions",
            low=0,
            high=4_000_000_000,
            dynamic=True,
        ),
    ] = 1_000_000
    groups: Annotated[
        int,
        about(
            "Groups of one app; one more is answered 429 `quota_exceeded`.",
            unit="groups",
            low=0,
            high=100_000_000,
            dynamic=True,
        ),
    ] = 100_000
    requests: Annotated[
        int,
        about(
            "Requests of one app that are under way at once at one process; one more is answered 429. "
            "Without a limit, an app has its share of `center.max_requests`.",
            unit="requests",
            low=0,
            high=1_000_000,
            dynamic=True,
        ),
    ] = 0
